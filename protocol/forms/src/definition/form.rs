//! Reading a whole form.

use toml::Table;

use crate::{choices::ChoiceLists, text::Label};

use super::{
    FIELDS_MAX, FORM_ID_CHARS_MAX, Field, Form, FormError, FormFaultKind, FormKind, NameRule, REPEATS_MAX,
    RESERVED_NAMES, ROWS_MAX, RegistryHome, Repeat, SECTIONS_MAX, Section, check,
    field::{self, Position},
    read::{self, Faults, Keys},
};

impl Form {
    /// Reads a form from its TOML file.
    ///
    /// # Errors
    /// Every fault of the file, each with its place; a form with a fault does not exist.
    pub fn parse(text: &str, lists: &ChoiceLists) -> Result<Self, FormError> {
        let (table, faults) = read::open(text)?;
        Self::read(&table, faults, lists)
    }

    /// Reads a form from its table.
    pub(crate) fn read(table: &Table, mut faults: Faults, lists: &ChoiceLists) -> Result<Self, FormError> {
        let mut keys = Keys::new(table, "form");
        let id = keys.name(&mut faults, "id", NameRule::Field);
        if let Some(id) = &id {
            faults.rename(id);
            if id.len() > FORM_ID_CHARS_MAX {
                let kind = FormFaultKind::NameTooLong { name: id.clone(), max: FORM_ID_CHARS_MAX };
                faults.push("form", "id", kind);
            }
        }
        if !keys.has("version") {
            faults.push("form", "version", FormFaultKind::MissingKey);
        }
        let version = keys.integer(&mut faults, "version", 1..=i64::from(u16::MAX));
        let kind = read_kind(&mut faults, &mut keys);
        let home = read_home(&mut faults, &mut keys, kind);
        let label = keys.need_label(&mut faults, "labels");
        let indicators = field::read_indicators(&mut faults, &mut keys, lists);
        let section_tables = keys.tables(&mut faults, "sections", SECTIONS_MAX);
        let field_tables = keys.tables(&mut faults, "fields", FIELDS_MAX);
        let repeat_tables = keys.tables(&mut faults, "repeats", REPEATS_MAX);
        keys.finish(&mut faults);
        if field_tables.is_empty() {
            faults.push("form", "fields", FormFaultKind::MissingKey);
        }

        let mut form = Self {
            id: id.unwrap_or_default(),
            version: version.and_then(|version| u32::try_from(version).ok()).unwrap_or_default(),
            kind: kind.unwrap_or(FormKind::Record),
            home,
            label: label.unwrap_or_else(|| Label::new("", "")),
            indicators,
            sections: section_tables
                .iter()
                .enumerate()
                .filter_map(|(number, table)| read_section(&mut faults, number, table))
                .collect(),
            fields: read_fields(&mut faults, &field_tables, "", None, lists),
            repeats: Vec::new(),
            order: Vec::new(),
        };
        for (number, table) in repeat_tables.iter().enumerate() {
            form.repeats.extend(read_repeat(&mut faults, number, table, lists));
        }
        check::names(&mut faults, table);
        check::form(&mut faults, &mut form, &check::declared(table));
        faults.finish(form)
    }
}

fn read_kind(faults: &mut Faults, keys: &mut Keys<'_>) -> Option<FormKind> {
    let kind = keys.need_text(faults, "kind")?;
    match kind.as_str() {
        "record" => Some(FormKind::Record),
        "registry" => Some(FormKind::Registry),
        _ => {
            faults.push(
                "form",
                "kind",
                FormFaultKind::UnknownWord { found: kind, expected: "record, registry".to_owned() },
            );
            None
        }
    }
}

/// Whose directory a registry belongs to: the station's, if nothing is said.
fn read_home(faults: &mut Faults, keys: &mut Keys<'_>, kind: Option<FormKind>) -> RegistryHome {
    let Some(home) = keys.text(faults, "home") else { return RegistryHome::Station };
    if kind == Some(FormKind::Record) {
        faults.push("form", "home", FormFaultKind::KeyNotForKind { kind: "record" });
    }
    match home.as_str() {
        "organisation" => RegistryHome::Organisation,
        "station" => RegistryHome::Station,
        _ => {
            let expected = "organisation, station".to_owned();
            faults.push("form", "home", FormFaultKind::UnknownWord { found: home, expected });
            RegistryHome::Station
        }
    }
}

fn read_section(faults: &mut Faults, number: usize, table: &Table) -> Option<Section> {
    let mut keys = Keys::new(table, &format!("section {}", number + 1));
    let name = keys.name(faults, "name", NameRule::Field);
    if let Some(name) = &name {
        keys.rename(format!("section `{name}`"));
    }
    let label = keys.need_label(faults, "labels");
    keys.finish(faults);
    Some(Section { name: name?, label: label? })
}

fn read_fields(
    faults: &mut Faults,
    tables: &[&Table],
    within: &str,
    section: Option<&str>,
    lists: &ChoiceLists,
) -> Vec<Field> {
    let position = |number| Position { within, number, section };
    tables
        .iter()
        .enumerate()
        .filter_map(|(number, table)| field::read(faults, table, position(number), lists))
        .collect()
}

fn read_repeat(faults: &mut Faults, number: usize, table: &Table, lists: &ChoiceLists) -> Option<Repeat> {
    let mut keys = Keys::new(table, &format!("repeat {}", number + 1));
    let name = keys.name(faults, "name", NameRule::Field);
    if let Some(name) = &name {
        keys.rename(format!("repeat `{name}`"));
        if RESERVED_NAMES.contains(&name.as_str()) {
            faults.push(keys.place(), "name", FormFaultKind::ReservedName { name: name.clone() });
        }
    }
    let section = keys.need_text(faults, "section");
    let label = keys.need_label(faults, "labels");
    let relevant = keys.expression(faults, "relevant");
    let rows = |read: Option<i64>| read.and_then(|rows| u16::try_from(rows).ok());
    let min_rows = rows(keys.integer(faults, "min_rows", 0..=i64::from(ROWS_MAX))).unwrap_or(0);
    let max_rows = rows(keys.integer(faults, "max_rows", 1..=i64::from(ROWS_MAX))).unwrap_or(ROWS_MAX);
    if min_rows > max_rows {
        faults.push(keys.place(), "min_rows", FormFaultKind::RangeReversed);
    }
    let tables = keys.tables(faults, "fields", FIELDS_MAX);
    if tables.is_empty() {
        faults.push(keys.place(), "fields", FormFaultKind::MissingKey);
    }
    let place = keys.finish(faults);
    let fields =
        read_fields(faults, &tables, &format!("{place}, "), Some(section.as_deref().unwrap_or_default()), lists);
    Some(Repeat {
        name: name?,
        section: section?,
        label: label?,
        relevant,
        min_rows,
        max_rows,
        fields,
        order: Vec::new(),
    })
}
