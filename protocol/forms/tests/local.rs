//! A district's folder: its forms, lists and overlays are read, every fault of every file is told at once, and old records stay what they were.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test harness: a failed step is the failure")]

use std::{collections::BTreeSet, fs};

use proptest::prelude::*;
use qianmo_forms::{
    Context, Date, FileKind, FormError, FormFiles, FormSet, Mode, Required, Values,
    local::{FILES_MAX, version_with, version_without},
    validate,
};

const SOIL: &str = "id = 'local_soil'\nversion = 1\nkind = 'record'\nlabels = { zh = '测土', en = 'Soil test' }\n\
    [[sections]]\nname = 'all'\nlabels = { zh = '全部', en = 'All' }\n\
    [[fields]]\nname = 'activity_date'\nsection = 'all'\ntype = 'date'\nlabels = { zh = '日期', en = 'Date' }\nrequired = true\n\
    [[fields]]\nname = 'texture'\nsection = 'all'\ntype = 'choice'\nlist = 'local_texture'\nlabels = { zh = '质地', en = 'Texture' }\n";

const TEXTURE: &str = "id = 'local_texture'\nlabels = { zh = '质地', en = 'Texture' }\n\
    choices = [{ id = 'sand', zh = '沙土', en = 'Sand' }, { id = 'clay', zh = '黏土', en = 'Clay' }]\n";

const VISIT: &str = "form = 'visit'\nlocal_version = 1\nlabels = { zh = '下乡走访', en = 'Visit to a village' }\n\
    [[changes]]\nname = 'crop_id'\nrequired = true\nlabels = { zh = '主要作物', en = 'Main crop' }\nhint = { zh = '只填一种', en = 'One only' }\n\
    [[changes]]\nname = 'target_id'\nrequired = false\n\
    [[changes]]\nname = 'follow_up_on'\nhidden = true\n\
    [[changes]]\nname = 'pesticide_name'\nrequired = true\n\
    [[sections]]\nname = 'local_house'\nlabels = { zh = '棚室', en = 'Greenhouse' }\n\
    [[fields]]\nname = 'local_house_no'\nsection = 'local_house'\ntype = 'text'\nlabels = { zh = '棚号', en = 'Greenhouse number' }\nrequired = \"${crop_id} = 'local_kiwi'\"\n";

const KIWI: &str = "list = 'crop'\nchoices = [{ id = 'local_kiwi', zh = '猕猴桃', en = 'Kiwi', aliases = ['软枣'] }]\n";

fn files(given: &[(FileKind, &str, &str)]) -> FormFiles {
    let mut files = FormFiles::default();
    for (kind, path, text) in given {
        files.add(*kind, path, text.as_bytes().to_vec());
    }
    files
}

fn good() -> FormFiles {
    files(&[
        (FileKind::Form, "soil.toml", SOIL),
        (FileKind::List, "lists/texture.toml", TEXTURE),
        (FileKind::Overlay, "overlays/visit.toml", VISIT),
        (FileKind::Overlay, "overlays/crop.toml", KIWI),
    ])
}

fn explained(error: &FormError) -> Vec<String> {
    error.faults.iter().map(ToString::to_string).collect()
}

fn faults(given: &[(FileKind, &str, &str)]) -> Vec<String> {
    explained(&FormSet::with_local(&files(given)).unwrap_err())
}

fn submitted(forms: &FormSet, version: u32, typed: &[(&str, &str)]) -> Vec<String> {
    let form = forms.for_record("visit", version).unwrap();
    let value =
        |(path, text): &(&str, &str)| ((*path).to_owned(), form.field_at(path).unwrap().parse_input(text).unwrap());
    let values: Values = typed.iter().map(value).collect();
    let context = Context { mode: Mode::Submit, today: Date::new(2025, 6, 20) };
    validate(form, &values, &context).errors.into_iter().map(|fault| fault.path).collect()
}

const RECORD: [(&str, &str); 6] = [
    ("service_mode", "现场"),
    ("activity_date", "2025-06-18"),
    ("staff_id", "P02"),
    ("target_id", "T017"),
    ("town_code", "110117105"),
    ("content", "查看套袋情况,约定复查"),
];

#[test]
fn district_adds_a_form_and_a_list_and_changes_a_shipped_form_without_code() {
    let forms = FormSet::with_local(&good()).unwrap();
    assert_eq!(forms.iter().count(), 17);
    assert_eq!(
        forms.get("local_soil").unwrap().field("texture").unwrap().parse_input("黏土").unwrap().to_input(),
        "clay"
    );
    let visit = forms.get("visit").unwrap();
    assert_eq!(visit.label().zh, "下乡走访");
    let crop = visit.field("crop_id").unwrap();
    assert_eq!((&crop.required, crop.label.zh.as_str()), (&Required::Yes, "主要作物"));
    assert_eq!(crop.hint.as_ref().map(|hint| hint.en.as_str()), Some("One only"));
    let target = visit.field("target_id").unwrap();
    assert_eq!((&target.required, &target.required_message), (&Required::No, &None));
    assert!(visit.field("follow_up_on").unwrap().hidden);
    let product = visit.repeat("pesticide_advice").unwrap().field("pesticide_name").unwrap();
    assert_eq!(product.required, Required::Yes);
    assert_eq!(visit.fields_in("local_house").count(), 1);
    // A choice that is added is in every form that draws from the list, and in the list itself.
    for id in ["visit", "demo", "target"] {
        let field = forms.get(id).unwrap().fields().iter().find(|f| f.name.contains("crop")).unwrap();
        assert_eq!(field.parse_input("软枣").unwrap().to_input(), "local_kiwi", "{id}");
    }
    assert!(forms.lists().get("crop").unwrap().get("local_kiwi").is_some());
    assert!(forms.lists().get("local_texture").is_some());
}

#[test]
fn old_records_are_judged_by_the_form_they_were_written_with() {
    let forms = FormSet::with_local(&good()).unwrap();
    let local = forms.get("visit").unwrap().version();
    assert_eq!((local, version_without(local)), (version_with(1, 1), 1));
    assert_eq!(submitted(&forms, 1, &RECORD), Vec::<String>::new());
    assert_eq!(submitted(&forms, local, &RECORD), ["crop_id"]);
    let kiwi = [&RECORD[..], &[("crop_id", "猕猴桃")]].concat();
    assert_eq!(submitted(&forms, local, &kiwi), ["local_house_no"]);
    // A later overlay is the newest; the earlier one stays for the records written with it, as long as its file stays.
    let mut more = good();
    let second = VISIT.replace("local_version = 1", "local_version = 2").replace("local_house", "local_shed");
    more.add(FileKind::Overlay, "overlays/visit-2.toml", second.into_bytes());
    let forms = FormSet::with_local(&more).unwrap();
    assert_eq!(forms.get("visit").unwrap().version(), version_with(1, 2));
    assert!(forms.get_version("visit", local).unwrap().field("local_house_no").is_some());
    // Without the folder the shipped form it was made of is taken.
    let shipped = FormSet::built_in().unwrap();
    assert_eq!(shipped.for_record("visit", local).unwrap().version(), 1);
    assert_eq!(submitted(&shipped, local, &RECORD), Vec::<String>::new());
    assert!(shipped.for_record("local_soil", 1).is_none());
}

const EXPECTED: [&str; 18] = [
    "broken.toml: file: -: not TOML: line 1: string values must be quoted, expected literal string",
    "lists/b.toml: list: id: `local_texture` is used twice",
    "lists/mine.toml: list: id: `mine` does not begin with `local_`; other names are for what is shipped",
    "overlays/a.toml: overlay: form: no shipped form `visits`",
    "overlays/b.toml: field `crop_id`: type: no such key",
    "overlays/b.toml: field `house`: name: `house` does not begin with `local_`; other names are for what is shipped",
    "overlays/b.toml: field `staff_id`: hidden: `staff_id` is needed in every record: it can be neither hidden nor left out",
    "overlays/b.toml: field `staff_id`: required: `staff_id` is needed in every record: it can be neither hidden nor left out",
    "overlays/b.toml: overlay: colour: no such key",
    "overlays/b.toml: overlay: local_version: missing",
    "overlays/c.toml: field `local_x`: section: no section `nowhere`",
    "overlays/c.toml: field `remark`: required: at byte 0: unknown function `maybe`",
    "overlays/c.toml: field `service_mode`: hidden: a hidden field is never asked, so it cannot be required",
    "overlays/d.toml: choice `kiwi`: id: `kiwi` does not begin with `local_`; other names are for what is shipped",
    "overlays/e.toml: overlay: list: no list `crops`",
    "overlays/f.toml: choice `local_tao`: zh: `桃子` is also a name of `peach`",
    "overlays/g.toml: field `weather`: name: no field `weather`",
    "own.toml: form: id: `soil` does not begin with `local_`; other names are for what is shipped",
];

#[test]
fn every_fault_of_every_file_is_told_at_once_with_its_path() {
    let found = faults(&[
        (
            FileKind::Form,
            "own.toml",
            "id = 'soil'\nversion = 1\nkind = 'record'\nlabels = { zh = '测土', en = 'Soil' }\n\
            [[sections]]\nname = 'all'\nlabels = { zh = '全部', en = 'All' }\n\
            [[fields]]\nname = 'x'\nsection = 'all'\ntype = 'text'\nlabels = { zh = '项', en = 'X' }",
        ),
        (FileKind::Form, "broken.toml", "id = "),
        (FileKind::List, "lists/mine.toml", &TEXTURE.replace("local_texture", "mine")),
        (FileKind::List, "lists/a.toml", TEXTURE),
        (FileKind::List, "lists/b.toml", TEXTURE),
        (FileKind::Overlay, "overlays/a.toml", "form = 'visits'\nlocal_version = 1"),
        (
            FileKind::Overlay,
            "overlays/b.toml",
            "form = 'visit'\ncolour = 'red'\n\
            [[changes]]\nname = 'staff_id'\nhidden = true\nrequired = false\n\
            [[changes]]\nname = 'crop_id'\ntype = 'text'\n\
            [[fields]]\nname = 'house'",
        ),
        (
            FileKind::Overlay,
            "overlays/c.toml",
            "form = 'visit'\nlocal_version = 3\n\
            [[changes]]\nname = 'service_mode'\nhidden = true\n\
            [[changes]]\nname = 'remark'\nrequired = 'maybe ='\n\
            [[fields]]\nname = 'local_x'\nsection = 'nowhere'\ntype = 'text'\nlabels = { zh = '项', en = 'X' }",
        ),
        (
            FileKind::Overlay,
            "overlays/d.toml",
            "list = 'crop'\nchoices = [{ id = 'kiwi', zh = '猕猴桃', en = 'Kiwi' }]",
        ),
        (
            FileKind::Overlay,
            "overlays/e.toml",
            "list = 'crops'\nchoices = [{ id = 'local_kiwi', zh = '猕猴桃', en = 'Kiwi' }]",
        ),
        (
            FileKind::Overlay,
            "overlays/f.toml",
            "list = 'crop'\nchoices = [{ id = 'local_tao', zh = '桃子', en = 'Tao' }]",
        ),
        (
            FileKind::Overlay,
            "overlays/g.toml",
            "form = 'visit'\nlocal_version = 1\n[[changes]]\nname = 'weather'\nhidden = true",
        ),
    ]);
    let mut sorted = found;
    sorted.sort();
    assert_eq!(sorted, EXPECTED);
}

#[test]
fn same_overlay_version_twice_and_text_in_another_encoding_are_refused() {
    let twice = [
        (FileKind::Overlay, "overlays/a.toml", VISIT),
        (FileKind::Overlay, "overlays/b.toml", VISIT),
        (FileKind::Overlay, "overlays/k.toml", KIWI),
    ];
    let version = version_with(1, 1);
    assert_eq!(
        faults(&twice),
        [format!("overlays/b.toml: form: version: version {version} of this form is there already")]
    );
    let mut files = FormFiles::default();
    files.add(FileKind::Form, "gbk.toml", b"id = '\xb2\xe2'".to_vec());
    assert_eq!(explained(&FormSet::with_local(&files).unwrap_err()), ["gbk.toml: file: -: not UTF-8 from byte 6 on"]);
}

#[test]
fn folder_is_read_from_disk_and_what_is_not_a_form_is_passed_over() {
    let folder = std::env::temp_dir().join(format!("qianmo-forms-local-{}", std::process::id()));
    fs::create_dir_all(folder.join("lists")).unwrap();
    fs::create_dir_all(folder.join("overlays")).unwrap();
    for (path, text) in [
        ("soil.toml", SOIL),
        ("lists/texture.toml", TEXTURE),
        ("overlays/visit.toml", VISIT),
        ("overlays/crop.toml", KIWI),
        ("README.md", "notes"),
        (".swap.toml", "?"),
    ] {
        fs::write(folder.join(path), text).unwrap();
    }
    assert_eq!(FormFiles::read(&folder).unwrap(), good());
    assert_eq!(FormSet::open(Some(&folder)).unwrap().iter().count(), 17);
    assert_eq!(FormSet::open(None).unwrap().iter().count(), 16);
    // A folder in the place of a file, a file that is too large, and too many files.
    fs::create_dir(folder.join("odd.toml")).unwrap();
    let error = FormFiles::read(&folder).unwrap_err();
    assert!(error.to_string().contains("odd.toml: file: -: cannot be read"), "{error}");
    fs::remove_dir(folder.join("odd.toml")).unwrap();
    fs::write(folder.join("big.toml"), vec![b'#'; 300 * 1024]).unwrap();
    let error = FormSet::open(Some(&folder)).unwrap_err();
    assert_eq!(explained(&error), ["big.toml: file: -: 262145 bytes, at most 262144"]);
    for number in 0..FILES_MAX {
        fs::write(folder.join(format!("lists/{number}.toml")), "").unwrap();
    }
    let error = FormFiles::read(&folder).unwrap_err();
    assert!(error.to_string().contains("257, at most 256"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
    let error = FormSet::open(Some(&folder)).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn check_takes_a_file_that_is_meant_for_shipping_and_tells_what_it_is() {
    let visit = include_str!("../built-in/visit.toml").replace("version = 1", "version = 2");
    let severity = include_str!("../built-in/lists/severity.toml");
    for (text, kind) in [
        (visit.as_str(), FileKind::Form),
        (severity, FileKind::List),
        (VISIT, FileKind::Overlay),
        (KIWI, FileKind::Overlay),
        ("id = ", FileKind::Form),
    ] {
        assert_eq!(FileKind::of(text), kind);
    }
    let mut given = good();
    given.add(FileKind::Form, "visit.toml", visit.into_bytes());
    given.add(FileKind::List, "severity.toml", severity.as_bytes().to_vec());
    let checked = given.check().unwrap();
    let told: BTreeSet<(&str, &str, usize)> =
        checked.iter().map(|file| (file.path.as_str(), file.id.as_str(), file.entries)).collect();
    assert!(
        told.contains(&("severity.toml", "severity", 6)) && told.contains(&("soil.toml", "local_soil", 2)),
        "{told:?}"
    );
    assert_eq!(checked.len(), 6);
}

#[test]
fn every_fault_is_explained_in_both_languages_with_what_to_do() {
    let bad_form = include_str!("fixtures/bad_form.toml");
    let bad_list = include_str!("fixtures/bad_list.toml");
    let files = files(&[
        (FileKind::Form, "bad.toml", bad_form),
        (FileKind::List, "lists/bad.toml", bad_list),
        (
            FileKind::Overlay,
            "overlays/bad.toml",
            "form = 'visit'\nlocal_version = 0\n[[changes]]\nname = 'code'\nhidden = true",
        ),
    ]);
    let error = FormSet::with_local(&files).unwrap_err();
    assert!(error.faults.len() > 50, "{}", error.faults.len());
    let is_chinese = |text: &str| text.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c));
    for fault in &error.faults {
        let (what, fix, place) = (fault.kind.message(), fault.kind.fix(), fault.place_label());
        assert!(
            is_chinese(&what.zh) && is_chinese(&fix.zh) && is_chinese(&place.zh),
            "{fault} {what:?} {fix:?} {place:?}"
        );
        assert!(!is_chinese(&fix.en) && what.en == fault.kind.to_string() && place.en == fault.place, "{fault}");
    }
}

fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![SOIL, TEXTURE, VISIT, KIWI];
    let damaged = (prop::sample::select(texts), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |(text, at, with, cut)| {
            let mut bytes = text.as_bytes().to_vec();
            let at = at.index(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            if cut {
                bytes.truncate(at);
            }
            bytes
        },
    );
    prop_oneof![3 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn prop_any_folder_is_read_or_explained(given in prop::collection::vec((0..3_u8, any_file()), 0..4)) {
        let mut files = FormFiles::default();
        for (number, (kind, bytes)) in given.into_iter().enumerate() {
            let kind = match kind { 0 => FileKind::Form, 1 => FileKind::List, _ => FileKind::Overlay };
            files.add(kind, &format!("{number}.toml"), bytes);
        }
        match FormSet::with_local(&files) {
            Ok(forms) => prop_assert!(forms.iter().count() >= 16),
            Err(error) => prop_assert!(!error.faults.is_empty()),
        }
        if let Err(error) = files.check() {
            prop_assert!(!error.faults.is_empty());
        }
    }
}
