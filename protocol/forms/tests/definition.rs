//! Definitions: the shipped files are without fault, and every fault of a bad file is explained with its place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test harness: a failed step is the failure")]

use std::{collections::BTreeSet, sync::LazyLock};

use proptest::prelude::*;
use qianmo_forms::{
    ChoiceList, ChoiceLists, Field, FieldType, FileKind, Form, FormError, FormFiles, FormKind, FormSet, Label, Repeat,
    Required,
    definition::{FILE_BYTES_MAX, FormFaultKind, RESERVED_NAMES},
};

const BAD_FORM: &str = include_str!("fixtures/bad_form.toml");
const BAD_FORM_FAULTS: &str = include_str!("fixtures/bad_form.faults.txt");
const BAD_LIST: &str = include_str!("fixtures/bad_list.toml");
const BAD_LIST_FAULTS: &str = include_str!("fixtures/bad_list.faults.txt");
const ROWS: &str = include_str!("fixtures/rows.toml");

static LISTS: LazyLock<ChoiceLists> = LazyLock::new(|| ChoiceLists::built_in().unwrap());

fn lists() -> ChoiceLists {
    LISTS.clone()
}

fn minimal(extra: &str) -> String {
    format!(
        "id = 'plot'\nversion = 1\nkind = 'registry'\nlabels = {{ zh = '示范点', en = 'Plot' }}\n{extra}\n\
         [[sections]]\nname = 'all'\nlabels = {{ zh = '全部', en = 'All' }}\n\
         [[fields]]\nname = 'title'\nsection = 'all'\ntype = 'text'\nlabels = {{ zh = '名称', en = 'Title' }}\n"
    )
}

fn explained(error: &FormError) -> Vec<String> {
    error.faults.iter().map(ToString::to_string).collect()
}

fn bad_form() -> FormError {
    let mut lists = lists();
    lists.insert(
        ChoiceList::parse(
            "id = 'odd'\nlabels = { zh = '怪', en = 'Odd' }\nchoices = [{ id = '05', zh = '五', en = 'Five' }]",
        )
        .unwrap(),
    );
    Form::parse(BAD_FORM, &lists).unwrap_err()
}

#[test]
fn built_in_files_have_no_fault() {
    let forms = FormSet::built_in().unwrap();
    assert_eq!(
        forms.iter().map(Form::id).collect::<Vec<_>>(),
        [
            "agreement",
            "annual_task",
            "campaign",
            "demand",
            "demo",
            "guidance",
            "organisation",
            "outreach",
            "pest_report",
            "plot",
            "staff",
            "station",
            "target",
            "training",
            "transfer",
            "visit",
        ]
    );
    assert_eq!(lists().iter().count(), 32);
}

#[test]
fn every_file_of_the_built_in_folder_is_shipped() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/built-in");
    let names = |folder: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(folder), FormSet::built_in().unwrap().iter().map(|form| form.id().to_owned()).collect());
    let listed: BTreeSet<String> = lists().iter().map(|list| list.id().to_owned()).collect();
    assert!(names(&format!("{folder}/lists")).is_subset(&listed));
    assert_eq!(names(&format!("{folder}/lists")).len() + 13, listed.len(), "thirteen lists come from the vocabulary");
}

fn assert_both_languages(place: &str, label: &Label) {
    if label == &Label::new("%", "%") {
        return;
    }
    let is_chinese = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
    assert!(label.zh.chars().any(is_chinese), "{place}: no Chinese in `{}`", label.zh);
    assert!(!label.en.is_empty() && !label.en.chars().any(is_chinese), "{place}: not English: `{}`", label.en);
}

fn labels_of(field: &Field) -> impl Iterator<Item = &Label> {
    let rules = field.constraint.iter().chain(&field.warnings).map(|rule| &rule.message);
    let optional = [field.hint.as_ref(), field.unit.as_ref(), field.required_message.as_ref()];
    std::iter::once(&field.label).chain(optional.into_iter().flatten()).chain(rules)
}

#[test]
fn everything_built_in_is_said_in_both_languages() {
    for form in FormSet::built_in().unwrap().iter() {
        assert_both_languages(form.id(), form.label());
        form.sections().iter().for_each(|section| assert_both_languages(&section.name, &section.label));
        for field in form.fields().iter().chain(form.repeats().iter().flat_map(Repeat::fields)) {
            labels_of(field).for_each(|label| assert_both_languages(&field.name, label));
        }
        form.repeats().iter().for_each(|repeat| assert_both_languages(&repeat.name, &repeat.label));
    }
    for list in lists().iter() {
        assert_both_languages(list.id(), list.label());
        list.iter().for_each(|choice| assert_both_languages(&choice.id, &choice.label));
    }
}

#[test]
fn visit_has_the_fields_the_ledger_needs() {
    let forms = FormSet::built_in().unwrap();
    let visit = forms.get("visit").unwrap();
    assert_eq!(
        (visit.kind(), visit.version(), visit.indicators()),
        (FormKind::Record, 1, ["visits".to_owned()].as_slice())
    );
    let names: Vec<&str> = visit.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "record_no",
            "service_mode",
            "activity_date",
            "start_time",
            "end_time",
            "reported_on",
            "staff_id",
            "co_staff_ids",
            "target_id",
            "target_name",
            "town_code",
            "village_code",
            "lat",
            "lon",
            "accuracy_m",
            "coord_system",
            "crop_id",
            "variety_id",
            "variety_text",
            "phenology_id",
            "phenology_text",
            "pest_id",
            "pest_text",
            "severity",
            "survey_plants",
            "metric_id",
            "metric_value",
            "area_seen_mu",
            "problem_category",
            "technology_id",
            "technology_text",
            "households",
            "attendees",
            "content",
            "advice",
            "solved",
            "satisfaction",
            "follow_up_on",
            "photo_count",
            "campaign_ids",
            "remark",
            "import_key",
            "import_codes",
        ]
    );
}

#[test]
fn visit_marks_personal_data_and_hides_what_only_ledgers_have() {
    let forms = FormSet::built_in().unwrap();
    let visit = forms.get("visit").unwrap();
    let personal: Vec<&str> =
        visit.fields().iter().filter(|field| field.personal).map(|field| field.name.as_str()).collect();
    assert_eq!(personal, ["target_name", "lat", "lon"]);
    let required: Vec<&str> = visit
        .fields()
        .iter()
        .filter(|field| field.required == Required::Yes)
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(required, ["service_mode", "activity_date", "staff_id", "metric_value", "content"]);
    let hidden: Vec<&str> =
        visit.fields().iter().filter(|field| field.hidden).map(|field| field.name.as_str()).collect();
    assert_eq!(hidden, ["technology_id", "technology_text", "households", "attendees", "import_key", "import_codes"]);
    assert_eq!(visit.field("content").unwrap().field_type, FieldType::LongText { max_chars: 5_000 });
    assert_eq!(visit.fields_in("work").count(), 4);
    assert_eq!(visit.field_at("content").map(|field| field.name.as_str()), Some("content"));
    for path in ["", "content/", "content/r1/x", "a/b/c/d", "/"] {
        assert_eq!(visit.field_at(path), None, "{path}");
    }
}

/// The examples of the reference are read as they stand there.
#[test]
fn examples_of_the_reference_have_no_fault() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/forms.md")).unwrap();
    let examples: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 4);
    assert_eq!(Form::parse(examples[0], &lists()).unwrap().id(), "plot");
    assert_eq!(ChoiceList::parse(examples[1]).unwrap().id(), "solved");
    let mut files = FormFiles::default();
    files.add(FileKind::Overlay, "overlays/visit.toml", examples[2].as_bytes().to_vec());
    files.add(FileKind::Overlay, "overlays/crop.toml", examples[3].as_bytes().to_vec());
    assert_eq!(FormSet::with_local(&files).unwrap().get("visit").unwrap().version(), 65_537);
    for form in FormSet::built_in().unwrap().iter() {
        assert!(page.contains(&format!("`{}`", form.id())), "{} is not in the reference", form.id());
    }
    for line in explained(&bad_form())
        .iter()
        .filter(|line| line.contains("onsight") || line.contains("circle") || line.contains("byte 11"))
    {
        assert!(page.contains(line.as_str()), "{line}");
    }
    for name in RESERVED_NAMES {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn suggestions_put_the_chosen_crop_first_and_forbid_nothing() {
    let lists = lists();
    let variety = lists.get("variety").unwrap();
    let suggested = variety.suggested(Some("walnut"));
    assert_eq!(suggested.first().map(|choice| choice.id.as_str()), Some("walnut_liaohe"));
    assert_eq!(suggested.len(), variety.iter().count());
    assert_eq!(variety.suggested(None).len(), variety.iter().count());
}

#[test]
fn every_fault_of_a_bad_form_is_explained_with_its_place() {
    assert_eq!(explained(&bad_form()).join("\n"), BAD_FORM_FAULTS.trim_end());
}

#[test]
fn every_fault_of_a_bad_list_is_explained_with_its_place() {
    assert_eq!(explained(&ChoiceList::parse(BAD_LIST).unwrap_err()).join("\n"), BAD_LIST_FAULTS.trim_end());
}

/// The name of a fault's kind; a new kind breaks this match and the test below it.
fn kind_name(kind: &FormFaultKind) -> &'static str {
    match kind {
        FormFaultKind::Syntax { .. } => "Syntax",
        FormFaultKind::TooLarge { .. } => "TooLarge",
        FormFaultKind::Unreadable { .. } => "Unreadable",
        FormFaultKind::NotUtf8 { .. } => "NotUtf8",
        FormFaultKind::NotLocal { .. } => "NotLocal",
        FormFaultKind::NeededField { .. } => "NeededField",
        FormFaultKind::UnknownForm { .. } => "UnknownForm",
        FormFaultKind::MissingKey => "MissingKey",
        FormFaultKind::UnknownKey => "UnknownKey",
        FormFaultKind::KeyNotForType { .. } => "KeyNotForType",
        FormFaultKind::WrongKind { .. } => "WrongKind",
        FormFaultKind::Empty => "Empty",
        FormFaultKind::MissingLabel { .. } => "MissingLabel",
        FormFaultKind::BadName { .. } => "BadName",
        FormFaultKind::BadId { .. } => "BadId",
        FormFaultKind::NameTooLong { .. } => "NameTooLong",
        FormFaultKind::ReservedName { .. } => "ReservedName",
        FormFaultKind::DuplicateName { .. } => "DuplicateName",
        FormFaultKind::DuplicateForm { .. } => "DuplicateForm",
        FormFaultKind::AmbiguousName { .. } => "AmbiguousName",
        FormFaultKind::UnknownWord { .. } => "UnknownWord",
        FormFaultKind::UnknownList { .. } => "UnknownList",
        FormFaultKind::ScaleNotWhole { .. } => "ScaleNotWhole",
        FormFaultKind::UnknownSection { .. } => "UnknownSection",
        FormFaultKind::UnknownIndicator { .. } => "UnknownIndicator",
        FormFaultKind::UnknownField { .. } => "UnknownField",
        FormFaultKind::FieldInRepeat { .. } => "FieldInRepeat",
        FormFaultKind::UnknownChoice { .. } => "UnknownChoice",
        FormFaultKind::ThisNotAllowed => "ThisNotAllowed",
        FormFaultKind::RelevanceCycle { .. } => "RelevanceCycle",
        FormFaultKind::MessageWithoutRule { .. } => "MessageWithoutRule",
        FormFaultKind::HiddenRequired => "HiddenRequired",
        FormFaultKind::KeyNotForKind { .. } => "KeyNotForKind",
        FormFaultKind::Expression(_) => "Expression",
        FormFaultKind::OutOfRange { .. } => "OutOfRange",
        FormFaultKind::RangeReversed => "RangeReversed",
        FormFaultKind::NotDecimal => "NotDecimal",
        FormFaultKind::TooMany { .. } => "TooMany",
    }
}

/// The faults that only a district's folder can have.
fn local_faults() -> FormError {
    let mut files = FormFiles::default();
    let overlay =
        "form = 'visit'\nlocal_version = 1\n[[changes]]\nname = 'code'\nhidden = true\n[[fields]]\nname = 'x'";
    files.add(FileKind::Form, "a.toml", vec![0xFF]);
    files.add(FileKind::Overlay, "b.toml", overlay.as_bytes().to_vec());
    files.add(FileKind::Overlay, "c.toml", b"form = 'nothing'\nlocal_version = 1".to_vec());
    FormSet::with_local(&files).unwrap_err()
}

const KINDS: usize = 38;

#[test]
fn every_kind_of_fault_is_met_by_a_test_file() {
    let lists = lists();
    let too_many = format!("{}{}", minimal(""), "[[repeats]]\n".repeat(17));
    let mut set = FormSet::built_in().unwrap();
    let again = set.insert(set.get("visit").unwrap().clone()).unwrap_err();
    let errors = [
        bad_form(),
        ChoiceList::parse(BAD_LIST).unwrap_err(),
        Form::parse("id = ", &lists).unwrap_err(),
        Form::parse(&"#".repeat(FILE_BYTES_MAX + 1), &lists).unwrap_err(),
        Form::parse(&too_many, &lists).unwrap_err(),
        again,
        local_faults(),
        Form::parse(&minimal("").replace("'plot'", &format!("'{}'", "p".repeat(25))), &lists).unwrap_err(),
        FormSet::open(Some(std::path::Path::new("no such folder"))).unwrap_err(),
    ];
    let met: BTreeSet<&str> =
        errors.iter().flat_map(|error| &error.faults).map(|fault| kind_name(&fault.kind)).collect();
    assert_eq!(met.len(), KINDS, "{met:?}");
}

#[test]
fn syntax_fault_names_its_line() {
    let error = Form::parse("id = 'x'\nversion = 1\nkind = [\n= 5", &lists()).unwrap_err();
    assert_eq!(error.faults.len(), 1);
    assert!(error.to_string().contains("not TOML: line "), "{error}");
}

#[test]
fn reserved_names_are_refused_for_fields() {
    for name in RESERVED_NAMES {
        let error = Form::parse(&minimal("").replace("'title'", &format!("'{name}'")), &lists()).unwrap_err();
        assert_eq!(explained(&error), [format!("plot: field `{name}`: name: `{name}` is reserved")]);
    }
}

#[test]
fn form_set_keeps_every_version_and_gives_the_newest() {
    let lists = lists();
    let mut set = FormSet::default();
    let second = minimal("").replace("version = 1", "version = 2");
    set.insert(Form::parse(&second, &lists).unwrap()).unwrap();
    set.insert(Form::parse(&minimal(""), &lists).unwrap()).unwrap();
    assert_eq!(set.get("plot").map(Form::version), Some(2));
    assert_eq!(set.get_version("plot", 1).map(Form::version), Some(1));
    assert_eq!((set.get_version("plot", 3).is_none(), set.get("visit").is_none(), set.iter().count()), (true, true, 1));
    assert!(set.insert(Form::parse(&second, &lists).unwrap()).is_err());
}

#[test]
fn a_broken_field_is_not_a_second_fault_where_it_is_read() {
    let text = minimal("").replace("type = 'text'", "type = 'tekst'")
        + "[[fields]]\nname = 'note'\nsection = 'all'\ntype = 'text'\nlabels = { zh = '注', en = 'Note' }\nrelevant = \"${title} != ''\"\n";
    let faults = explained(&Form::parse(&text, &lists()).unwrap_err());
    assert_eq!(faults.len(), 1, "{faults:?}");
}

proptest! {
    /// Any byte of a good file changed: a form or explained faults, never a panic.
    #[test]
    fn prop_parsing_a_damaged_file_never_panics(at in 0..ROWS.len(), with in any::<char>(), cut in any::<bool>()) {
        let mut damaged: String = ROWS.chars().enumerate().map(|(n, c)| if n == at { with } else { c }).collect();
        if cut {
            damaged = damaged.chars().take(at).collect();
        }
        match Form::parse(&damaged, &lists()) {
            Ok(form) => prop_assert!(!form.id().is_empty()),
            Err(error) => prop_assert!(!error.faults.is_empty()),
        }
    }
}
