//! Form definitions, choice lists and overlays as a district writes them.

use std::collections::BTreeMap;

use qianmo_forms::{
    ChoiceList, Context, FileKind, Form, FormError, FormFiles, FormSet, Lang, Mode, Value, relevance, validate,
};

use super::corpus::repository;
use super::expression::day;

pub(super) const WORDS: &[&str] = &[
    "[[fields]]\n",
    "[[repeats]]\n",
    "[[sections]]\n",
    "name = \"",
    "type = \"",
    "labels = { zh = \"甲\", en = \"a\" }\n",
    "required = true\n",
    "relevant = \"",
    "constraint = \"",
    "version = ",
    "id = \"",
    "choices = \"",
    "integer",
    "decimal",
    "select_one",
    "local_",
    "add_fields",
    "\n",
    "\"",
    "${content}",
    "selected(",
    "today()",
];

/// First byte: a form, a list, or files of a district beside the shipped ones.
pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    let shipped = FormSet::built_in().unwrap();
    match kind % 8 {
        0..=3 => match Form::parse(&text, shipped.lists()) {
            Ok(form) => used(&form),
            Err(error) => told(&error),
        },
        4 | 5 => match ChoiceList::parse(&text) {
            Ok(list) => {
                for choice in list.iter() {
                    assert_eq!(list.get(&choice.id).map(|choice| &choice.id), Some(&choice.id));
                    let names = [&choice.label.zh, &choice.label.en].into_iter().chain(&choice.aliases);
                    assert!(names.into_iter().all(|name| list.find(name).is_some_and(|found| found.id == choice.id)));
                }
            }
            Err(error) => told(&error),
        },
        _ => {
            let mut files = FormFiles::default();
            files.add(FileKind::of(&text), "local.toml", bytes.to_vec());
            match FormSet::with_local(&files) {
                Ok(set) => {
                    set.iter().filter(|form| shipped.get_version(form.id(), form.version()).is_none()).for_each(used)
                }
                Err(error) => told(&error),
            }
            if let Err(error) = files.check() {
                told(&error);
            }
        }
    }
}

/// Every fault says in both languages what is wrong and what to do.
fn told(error: &FormError) {
    assert!(!error.faults.is_empty() && !error.to_string().is_empty());
    for fault in &error.faults {
        for label in [fault.place_label(), fault.kind.message(), fault.kind.fix()] {
            assert!(Lang::ALL.iter().all(|lang| !label.get(*lang).is_empty()), "{fault:?}");
        }
    }
}

/// A form that was read can be asked, answered and judged.
fn used(form: &Form) {
    assert!(!form.id().is_empty() && !form.fields().is_empty());
    let mut answers = BTreeMap::new();
    for (number, field) in form.fields().iter().enumerate() {
        let typed = ["1", "2025-06-15", "08:30", "是", "甲"][number % 5];
        if let Ok(value) = field.parse_input(typed) {
            answers.insert(field.name.clone(), value);
        } else {
            answers.insert(field.name.clone(), Value::Int(i64::MAX));
        }
    }
    for today in [None, Some(day())] {
        let shown = relevance(form, &answers, today);
        assert!(shown.iter().all(|path| form.field_at(path).is_some() || form.repeat(path).is_some()));
        for mode in [Mode::Draft, Mode::Submit, Mode::Import] {
            let judged = validate(form, &answers, &Context { mode, today });
            for fault in judged.errors.iter().chain(&judged.warnings) {
                assert!(!fault.message.zh.is_empty() && !fault.message.en.is_empty());
            }
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let folder = repository().join("protocol/forms/built-in");
    let toml = |folder: &std::path::Path| {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        files.into_iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let mut seeds: Vec<Vec<u8>> = toml(&folder).into_iter().map(|file| [&[0], file.as_slice()].concat()).collect();
    seeds.extend(toml(&folder.join("lists")).into_iter().map(|file| [&[4], file.as_slice()].concat()));
    let small = "id = \"local_a\"\nversion = 1\nkind = \"record\"\nlabels = { zh = \"甲\", en = \"a\" }\n\n[[fields]]\nname = \"x\"\ntype = \"integer\"\nlabels = { zh = \"乙\", en = \"b\" }\n";
    seeds.push([&[0], small.as_bytes()].concat());
    seeds.push([&[6], small.as_bytes()].concat());
    seeds
}
