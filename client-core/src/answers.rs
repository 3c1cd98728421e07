//! Between what an app gives and what a document stores: values of a form, judged, and their places.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_forms::{
    Context, Fault, FaultRule, Form, Label, Mode, Scalar as FormScalar, Value, Values, relevance, validate,
};
use qianmo_protocol::record::{self, RecordView, Repeats, RowKey, Scalar};
use rand::RngCore;

use crate::draft::{FieldEdit, FieldValue};
use crate::error::{FieldFault, WriteError};
use crate::names::FieldPath;

/// Answers ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    pub(crate) fields: BTreeMap<String, Scalar>,
    pub(crate) repeats: Repeats,
}

/// Judges the answers of a new record as a submission, and places them. What is not asked is left out.
pub(crate) fn submit(
    form: &Form,
    given: &BTreeMap<String, FieldValue>,
    today: Option<qianmo_forms::Date>,
    rng: &mut dyn RngCore,
) -> Result<Stored, WriteError> {
    placed(form, given, &Context { mode: Mode::Submit, today }, rng)
}

/// As [`submit`], for a record that comes from a ledger: what it should have and has not stops nothing.
pub(crate) fn import(
    form: &Form,
    given: &BTreeMap<String, FieldValue>,
    today: Option<qianmo_forms::Date>,
    rng: &mut dyn RngCore,
) -> Result<Stored, WriteError> {
    placed(form, given, &Context { mode: Mode::Import, today }, rng)
}

fn placed(
    form: &Form,
    given: &BTreeMap<String, FieldValue>,
    context: &Context,
    rng: &mut dyn RngCore,
) -> Result<Stored, WriteError> {
    let mut faults = Vec::new();
    let mut values = Values::new();
    for (path, value) in given {
        match typed(form, path, value) {
            Ok(value) => {
                values.insert(path.clone(), value);
            }
            Err(fault) => faults.push(fault),
        }
    }
    let judged = validate(form, &values, context);
    let broken: BTreeSet<String> = faults.iter().map(|fault| fault.path.clone()).collect();
    faults.extend(judged.errors.into_iter().filter(|fault| !broken.contains(&fault.path)).map(field_fault));
    if !faults.is_empty() {
        return Err(WriteError::Invalid { faults });
    }
    let asked = relevance(form, &values, context.today);
    let mut stored = Stored::default();
    for repeat in form.repeats() {
        stored.repeats.insert(repeat.name.clone(), BTreeMap::new());
    }
    let mut keys: BTreeMap<(String, String), RowKey> = BTreeMap::new();
    for (path, value) in values.into_iter().filter(|(path, value)| !value.is_null() && asked.contains(path)) {
        let scalar = to_record(&value.to_scalar());
        let mut parts = path.split('/');
        if let (Some(repeat), Some(row), Some(name)) = (parts.next(), parts.next(), parts.next()) {
            let row = keys.entry((repeat.to_owned(), row.to_owned())).or_insert_with(|| row_key(rng));
            let rows = stored.repeats.entry(repeat.to_owned()).or_default();
            rows.entry(*row).or_default().insert(name.to_owned(), scalar);
        } else {
            stored.fields.insert(path, scalar);
        }
    }
    Ok(stored)
}

/// Judges edits of a record at a version: what was wrong before stays the record's own matter, what is wrong because of
/// these edits is refused.
pub(crate) fn edits(
    form: &Form,
    view: &RecordView,
    edits: &[FieldEdit],
    today: Option<qianmo_forms::Date>,
    rng: &mut dyn RngCore,
) -> Result<Vec<record::FieldEdit>, WriteError> {
    let before = values_of(form, view);
    let mut after = before.clone();
    let mut faults = Vec::new();
    let mut out = Vec::new();
    let mut touched = BTreeSet::new();
    for edit in edits {
        match place(form, edit, rng) {
            Ok((edit, values)) => {
                touched.extend(values.keys().cloned());
                after.extend(values);
                out.push(edit);
            }
            Err(fault) => faults.push(fault),
        }
    }
    let context = Context { mode: Mode::Submit, today };
    let known: BTreeSet<(String, FaultRule)> =
        validate(form, &before, &context).errors.into_iter().map(|fault| (fault.path, fault.rule)).collect();
    let judged = validate(form, &after, &context).errors.into_iter();
    let is_new = |fault: &Fault| touched.contains(&fault.path) || !known.contains(&(fault.path.clone(), fault.rule));
    faults.extend(judged.filter(is_new).map(field_fault));
    if faults.is_empty() { Ok(out) } else { Err(WriteError::Invalid { faults }) }
}

/// One edit as the document takes it, and the values it makes.
fn place(form: &Form, edit: &FieldEdit, rng: &mut dyn RngCore) -> Result<(record::FieldEdit, Values), FieldFault> {
    match edit {
        FieldEdit::Set { path, value } => {
            let typed = typed(form, path.as_str(), value)?;
            let place = path.to_record().ok_or_else(|| unknown(path.as_str()))?;
            let scalar = to_record(&typed.to_scalar());
            Ok((record::FieldEdit::Set(place, scalar), Values::from([(path.to_string(), typed)])))
        }
        FieldEdit::AddRow { repeat, cells } => {
            let row = row_key(rng);
            let mut stored = BTreeMap::new();
            let mut values = Values::new();
            for (name, value) in cells {
                let path = format!("{repeat}/{row}/{name}");
                let typed = typed(form, &path, value)?;
                if !typed.is_null() {
                    stored.insert(name.clone(), to_record(&typed.to_scalar()));
                }
                values.insert(path, typed);
            }
            Ok((record::FieldEdit::AddRow { repeat: repeat.clone(), row, cells: stored }, values))
        }
        FieldEdit::RemoveRow { repeat, row } => {
            let path = format!("{repeat}/{row}/{}", record::REMOVED);
            let row = RowKey::parse(row).ok_or_else(|| unknown(&path))?;
            let values = Values::from([(path, Value::Bool(true))]);
            Ok((record::FieldEdit::RemoveRow { repeat: repeat.clone(), row }, values))
        }
    }
}

/// One answer as its field takes it.
pub(crate) fn typed(form: &Form, path: &str, value: &FieldValue) -> Result<Value, FieldFault> {
    if let (true, FieldValue::Bool(removed)) = (is_removal(form, path), value) {
        return Ok(Value::Bool(*removed));
    }
    let field = form.field_at(path).ok_or_else(|| unknown(path))?;
    let read = match value {
        FieldValue::Null => Ok(Value::Null),
        FieldValue::Bool(answer) => Value::from_scalar(field, &FormScalar::Bool(*answer)),
        FieldValue::Int(number) => {
            // A choice may have a number for its id, and so may a reference.
            let as_number = Value::from_scalar(field, &FormScalar::Int(*number));
            as_number.or_else(|error| field.parse_input(&number.to_string()).map_err(|_| error))
        }
        FieldValue::Text(text) => field.parse_input(text),
    };
    read.map_err(|error| FieldFault { path: path.to_owned(), message: error.message() })
}

fn is_removal(form: &Form, path: &str) -> bool {
    match FieldPath::new(path).to_record() {
        Some(record::FieldPath::Row { repeat, name, .. }) => name == record::REMOVED && form.repeat(&repeat).is_some(),
        Some(record::FieldPath::Field(_)) | None => false,
    }
}

fn unknown(path: &str) -> FieldFault {
    let message = Label::new(format!("这一版表单没有“{path}”这一项"), format!("this form has no field “{path}”"));
    FieldFault { path: path.to_owned(), message }
}

fn field_fault(fault: Fault) -> FieldFault {
    FieldFault { path: fault.path, message: fault.message }
}

/// What a record holds, as far as the form can read it.
pub(crate) fn values_of(form: &Form, view: &RecordView) -> Values {
    let mut values = Values::new();
    for (path, value) in crate::views::fields(view) {
        let stored = match &value {
            FieldValue::Null => FormScalar::Null,
            FieldValue::Bool(answer) => FormScalar::Bool(*answer),
            FieldValue::Int(number) => FormScalar::Int(*number),
            FieldValue::Text(text) => FormScalar::Text(text.clone()),
        };
        let read = match form.field_at(&path) {
            Some(field) => Value::from_scalar(field, &stored).ok(),
            None if is_removal(form, &path) => matches!(value, FieldValue::Bool(true)).then_some(Value::Bool(true)),
            None => None,
        };
        values.extend(read.map(|value| (path, value)));
    }
    values
}

fn to_record(scalar: &FormScalar) -> Scalar {
    match scalar {
        FormScalar::Null => Scalar::Null,
        FormScalar::Bool(value) => Scalar::Bool(*value),
        FormScalar::Int(value) => Scalar::Int(*value),
        FormScalar::Text(text) => Scalar::Text(text.clone()),
    }
}

/// A value as a conflict keeps it.
pub(crate) fn to_scalar(form: &Form, path: &FieldPath, value: &FieldValue) -> Result<Scalar, WriteError> {
    let typed = typed(form, path.as_str(), value).map_err(|fault| WriteError::Invalid { faults: vec![fault] })?;
    Ok(to_record(&typed.to_scalar()))
}

fn row_key(rng: &mut dyn RngCore) -> RowKey {
    let mut key = [0; 8];
    rng.fill_bytes(&mut key);
    RowKey(key)
}

#[cfg(test)]
mod tests {
    use qianmo_forms::{ChoiceLists, Date};
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const FORM: &str = r#"
id = "plan"
version = 1
kind = "record"
labels = { zh = "计划", en = "Plan" }

[[sections]]
name = "a"
labels = { zh = "甲", en = "A" }

[[fields]]
name = "on"
section = "a"
type = "date"
labels = { zh = "日期", en = "Date" }
required = true

[[fields]]
name = "other"
section = "a"
type = "text"
labels = { zh = "其他", en = "Other" }
relevant = "${on} = ''"

[[repeats]]
name = "plots"
section = "a"
labels = { zh = "地块", en = "Plots" }

[[repeats.fields]]
name = "area"
type = "decimal"
decimals = 1
labels = { zh = "面积", en = "Area" }
required = true
"#;

    fn form() -> Form {
        Form::parse(FORM, &ChoiceLists::default()).unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, FieldValue> {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), FieldValue::from(*text))).collect()
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    #[test]
    fn typed_text_is_stored_canonically_and_rows_get_random_keys() {
        let given = given(&[("on", "2025年6月18日"), ("plots/1/area", "3.50"), ("plots/2/area", "2"), ("other", "x")]);
        let stored = submit(&form(), &given, Date::new(2025, 6, 20), &mut rng()).unwrap();
        assert_eq!(stored.fields, BTreeMap::from([("on".to_owned(), Scalar::Text("2025-06-18".to_owned()))]));
        let areas: BTreeSet<&Scalar> = stored.repeats["plots"].values().map(|cells| &cells["area"]).collect();
        let expected = [Scalar::Text("2".to_owned()), Scalar::Text("3.5".to_owned())];
        assert_eq!(areas, expected.iter().collect());
    }

    #[test]
    fn every_fault_is_named_once_with_its_path() {
        let given = given(&[("on", "昨天"), ("nowhere", "x"), ("plots/1/area", "")]);
        let Err(WriteError::Invalid { faults }) = submit(&form(), &given, None, &mut rng()) else { panic!() };
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["nowhere", "on", "plots/1/area"]);
    }

    #[test]
    fn every_repeat_is_made_in_the_first_change() {
        let stored = submit(&form(), &given(&[("on", "2025-06-18")]), None, &mut rng()).unwrap();
        assert_eq!(stored.repeats["plots"].len(), 0);
    }

    #[test]
    fn edit_is_refused_for_what_it_breaks_and_not_for_what_was_wrong_before() {
        let root = record::RecordRoot {
            form: qianmo_protocol::ids::Code::new("plan").unwrap(),
            form_version: 1,
            station: None,
            logbook: qianmo_protocol::ids::LogbookId([0; 16]),
            author: qianmo_protocol::ids::Code::new("P").unwrap(),
            created_at: qianmo_protocol::time::UnixMillis(0),
        };
        // An imported record without its date, which is required.
        let view = RecordView { root, fields: BTreeMap::new(), repeats: BTreeMap::new() };
        let add = FieldEdit::AddRow {
            repeat: "plots".to_owned(),
            cells: BTreeMap::from([("area".to_owned(), FieldValue::Int(4))]),
        };
        assert_eq!(edits(&form(), &view, &[add], None, &mut rng()).unwrap().len(), 1);
        let clear = FieldEdit::set("on", FieldValue::Null);
        assert!(edits(&form(), &view, &[clear], None, &mut rng()).is_err(), "the edited field itself is judged");
    }
}
