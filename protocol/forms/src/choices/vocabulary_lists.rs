//! The choice lists of the shipped vocabulary.
//!
//! `built-in/vocab.json` is the one source of the words of the work: crops, growth stages, pests, technologies, states of a demand. The importer
//! reads the same file for what a list does not say (months, aliases of villages). Here only ids, names in both languages, aliases and what a
//! choice is for are taken, and checked as those of any list file are.

use serde_json::Value as Json;
use toml::{Table, Value as Toml};

use crate::definition::{FormError, FormFault, FormFaultKind, read};

use super::ChoiceList;

const VOCABULARY: &str = include_str!("../../built-in/vocab.json");

/// A list of the vocabulary: its id, its name in both languages, its key in the file, and the key that says what a choice is for.
struct Source {
    id: &'static str,
    zh: &'static str,
    en: &'static str,
    key: &'static str,
    suited: Option<&'static str>,
}

const fn source(id: &'static str, zh: &'static str, en: &'static str, key: &'static str) -> Source {
    Source { id, zh, en, key, suited: None }
}

const fn suited(mut source: Source, key: &'static str) -> Source {
    source.suited = Some(key);
    source
}

const SOURCES: [Source; 13] = [
    source("crop", "作物", "Crop", "crops"),
    source("demand_category", "需求与问题类别", "Category of a demand or problem", "demand_categories"),
    source("demand_state", "需求状态", "State of a demand", "demand_states"),
    source("indicator", "指标", "Indicator", "indicators"),
    suited(source("pest", "病虫害与问题", "Pests, diseases and problems", "pests_diseases"), "crops"),
    suited(source("phenology", "物候期", "Growth stage", "phenology_stages"), "crop"),
    source("return_reason", "退回原因", "Reason for sending back", "return_reasons"),
    source("satisfaction", "满意度", "Satisfaction", "satisfaction"),
    source("service_mode", "服务方式", "Mode of service", "service_modes"),
    source("staff_role", "人员角色", "Role of a person", "staff_roles"),
    source("station_kind", "站点类型", "Kind of station", "station_kinds"),
    source("target_kind", "服务对象类型", "Kind of target", "target_kinds"),
    suited(source("technology", "技术", "Technology", "technologies"), "crops"),
];

/// The lists of the shipped vocabulary.
pub(super) fn shipped() -> Result<Vec<ChoiceList>, FormError> {
    let vocabulary: Json = serde_json::from_str(VOCABULARY).map_err(|_| not_a_vocabulary("-"))?;
    SOURCES
        .iter()
        .map(|source| {
            let entries = vocabulary.get(source.key).and_then(Json::as_array);
            let entries = entries.ok_or_else(|| not_a_vocabulary(source.key))?;
            ChoiceList::read(&table(source, entries), read::Faults::new())
        })
        .collect()
}

fn not_a_vocabulary(key: &str) -> FormError {
    let kind = FormFaultKind::WrongKind { expected: "a list of the vocabulary", found: "something else" };
    let fault = FormFault { file: "vocab.json".to_owned(), place: "file".to_owned(), key: key.to_owned(), kind };
    FormError { faults: vec![fault] }
}

/// The list as its own file would say it.
fn table(source: &Source, entries: &[Json]) -> Table {
    let labels = Table::from_iter([pair("zh", source.zh), pair("en", source.en)]);
    let choices = entries.iter().map(|entry| Toml::Table(choice(source, entry))).collect();
    Table::from_iter([
        pair("id", source.id),
        ("labels".to_owned(), Toml::Table(labels)),
        ("choices".to_owned(), Toml::Array(choices)),
    ])
}

fn pair(key: &str, text: &str) -> (String, Toml) {
    (key.to_owned(), Toml::String(text.to_owned()))
}

fn choice(source: &Source, entry: &Json) -> Table {
    let mut table = Table::new();
    let names = ["id", "zh", "en"].into_iter();
    table.extend(names.filter_map(|key| Some(pair(key, entry.get(key)?.as_str()?))));
    let mut aliases = texts(entry.get("aliases"));
    // A point of a scale has a number for an id, and is also written as so many points or stars.
    if let Some(value) = entry.get("value").and_then(Json::as_u64) {
        let stars = usize::try_from(value).unwrap_or_default().min(10);
        aliases.extend([Toml::String(format!("{value}分")), Toml::String("★".repeat(stars))]);
        table.extend([pair("id", &value.to_string())]);
    }
    if !aliases.is_empty() {
        table.insert("aliases".to_owned(), Toml::Array(aliases));
    }
    let suited = texts(source.suited.and_then(|key| entry.get(key)));
    if !suited.is_empty() {
        table.insert("for".to_owned(), Toml::Array(suited));
    }
    table
}

/// One text or several.
fn texts(value: Option<&Json>) -> Vec<Toml> {
    let several = value.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let one = value.and_then(Json::as_str);
    several.chain(one).map(|text| Toml::String(text.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::choices::ChoiceLists;

    /// Ids, names and aliases of the vocabulary are those of the lists, and nothing is lost on the way; the varieties, which the vocabulary names
    /// in Chinese only, have a file of their own and are held to it here.
    #[test]
    fn lists_agree_with_the_vocabulary() {
        let vocabulary: Json = serde_json::from_str(VOCABULARY).unwrap();
        let lists = ChoiceLists::built_in().unwrap();
        let sources = SOURCES.iter().map(|source| (source.id, source.key)).chain([("variety", "varieties")]);
        for (id, key) in sources {
            let list = lists.get(id).unwrap();
            let entries = vocabulary[key].as_array().unwrap();
            assert_eq!(list.iter().count(), entries.len(), "{id}");
            for (choice, entry) in list.iter().zip(entries) {
                let value = entry["value"].as_u64().map(|value| value.to_string());
                assert_eq!(Some(choice.id.as_str()), value.as_deref().or_else(|| entry["id"].as_str()));
                assert_eq!(Some(choice.label.zh.as_str()), entry["zh"].as_str());
                if let Some(en) = entry["en"].as_str() {
                    assert_eq!(choice.label.en, en);
                }
                let aliases: BTreeSet<&str> = choice.aliases.iter().map(String::as_str).collect();
                for alias in entry["aliases"].as_array().into_iter().flatten() {
                    assert!(aliases.contains(alias.as_str().unwrap()), "{id} {alias}");
                    assert_eq!(list.find(alias.as_str().unwrap()).map(|found| &found.id), Some(&choice.id));
                }
                let crops: Vec<&str> = match (&entry["crops"], &entry["crop"]) {
                    (Json::Array(crops), _) => crops.iter().filter_map(Json::as_str).collect(),
                    (_, crop) => crop.as_str().into_iter().collect(),
                };
                assert_eq!(choice.suggested_for, crops, "{id} {}", choice.id);
            }
        }
    }

    #[test]
    fn points_of_the_scale_are_read_as_numbers_and_stars() {
        let lists = ChoiceLists::built_in().unwrap();
        let scale = lists.get("satisfaction").unwrap();
        for (said, id) in [("4分", "4"), ("★★★★★", "5"), ("１", "1"), ("比较满意", "4")] {
            assert_eq!(scale.find(said).map(|choice| choice.id.as_str()), Some(id), "{said}");
        }
    }
}
