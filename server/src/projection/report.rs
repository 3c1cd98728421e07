//! The figures officials use, from the read model.
//!
//! Every record that is not gone and not withdrawn counts as accepted; only an approved one counts in official figures, and
//! with the answers that were approved: what was changed since waits for the next approval. Annual tasks and the codes of
//! service targets come from the directories.

use std::collections::BTreeMap;

use rusqlite::params;
use serde_json::{Value, json};

use qianmo_forms::indicators::{Aggregates, Facts, RecordContext, Tasks};
use qianmo_forms::{Date, Decimal, Form, FormKind, FormSet, Scalar, Value as Answer, Values};

use super::flags::FlagSet;
use super::query::Reader;
use super::{Filter, ProjectionError};

/// Forms whose records are directories to these figures.
const TARGET_FORM: &str = "target";
const TASK_FORM: &str = "annual_task";

/// Official figures of one year.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The year of the activities; `None` when there are no records.
    pub year: Option<i16>,
    /// Over all records but withdrawn ones.
    pub accepted: Aggregates,
    /// Over approved records, as they were approved.
    pub approved: Aggregates,
    /// What the stations are to reach in that year.
    pub tasks: Tasks,
    /// How many accepted records have each flag, by its name; flags that no record has are left out.
    pub flags: BTreeMap<&'static str, u64>,
}

impl Report {
    /// As programs read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "year": self.year,
            "accepted_aggregates": self.accepted.to_json(),
            "approved_aggregates": self.approved.to_json(),
            "approved_task_completion": self.approved.completion_json(&self.tasks),
            "flags": self.flags,
        })
    }
}

/// One record, as far as it is counted.
struct Counted {
    form: String,
    version: u32,
    station: Option<String>,
    state: String,
    flags: FlagSet,
    fields: Value,
    approved: Option<Value>,
}

/// The word of a review state in figures; `None` for what is not counted.
fn counted_as(state: &str) -> Option<&'static str> {
    match state {
        "unsubmitted" => Some("draft"),
        "approved" => Some("approved"),
        "returned" => Some("returned"),
        "withdrawn" => None,
        // Nobody's word stands yet: a coordinator has to look.
        _ => Some("pending"),
    }
}

/// The answers of a document as the form reads them; what it cannot read is left out.
fn answers(form: &Form, fields: &Value) -> Values {
    let Value::Object(fields) = fields else { return Values::new() };
    let read = |(name, value): (&String, &Value)| {
        let field = form.field(name)?;
        let scalar = match value {
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Number(number) => Scalar::Int(number.as_i64()?),
            Value::String(text) => Scalar::Text(text.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((name.clone(), Answer::from_scalar(field, &scalar).ok()?))
    };
    fields.iter().filter_map(read).collect()
}

fn form_of<'f>(forms: &'f FormSet, id: &str, version: u32) -> Option<&'f Form> {
    forms.for_record(id, version)
}

fn year_of(date: Option<Date>) -> Option<i16> {
    date.and_then(|date| i16::try_from(date.year()).ok())
}

impl Reader {
    /// The figures of a year, of the records a filter chooses; without one, of the newest year there are records of.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn report(&self, forms: &FormSet, filter: &Filter, year: Option<i16>) -> Result<Report, ProjectionError> {
        let targets = self.target_codes(forms)?;
        let mut by_year: BTreeMap<Option<i16>, (Aggregates, Aggregates)> = BTreeMap::new();
        let mut flags: BTreeMap<Option<i16>, BTreeMap<&'static str, u64>> = BTreeMap::new();
        self.each_counted(filter, |record| {
            let Some(form) = form_of(forms, &record.form, record.version) else { return };
            let Some(review) = counted_as(&record.state).filter(|_| form.kind() == FormKind::Record) else { return };
            let code = |id: &str| targets.get(id).cloned();
            let context = RecordContext { station: record.station.as_deref(), review, target_code: &code };
            let facts = |fields: &Value| Facts::from_answers(form, &answers(form, fields), &context);
            let shown = facts(&record.fields);
            let approved =
                (review == "approved").then(|| record.approved.as_ref().map_or_else(|| shown.clone(), facts));
            by_year.entry(year_of(shown.date)).or_default().0.add(&shown);
            for flag in record.flags.iter() {
                *flags.entry(year_of(shown.date)).or_default().entry(flag.name()).or_default() += 1;
            }
            if let Some(approved) = approved {
                by_year.entry(year_of(approved.date)).or_default().1.add(&approved);
            }
        })?;
        let year = year.or_else(|| by_year.keys().copied().flatten().next_back());
        let (accepted, approved) = by_year.remove(&year).unwrap_or_default();
        let tasks = match year {
            Some(year) => self.tasks(forms, filter, year)?,
            None => Tasks::default(),
        };
        Ok(Report { year, accepted, approved, tasks, flags: flags.remove(&year).unwrap_or_default() })
    }

    /// Calls back with every record that is not gone and fits, one at a time.
    fn each_counted(&self, filter: &Filter, mut visit: impl FnMut(Counted)) -> Result<(), ProjectionError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT form, form_version, station, state, fields, approved, flags FROM record WHERE gone = 0 AND state <> 'unreadable' \
             AND (?1 IS NULL OR station = ?1) AND (?2 IS NULL OR month = ?2) AND (?3 IS NULL OR form = ?3)",
        )?;
        let mut rows = statement.query(params![filter.station, filter.month, filter.form])?;
        let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
        while let Some(row) = rows.next()? {
            visit(Counted {
                form: row.get(0)?,
                version: row.get(1)?,
                station: row.get(2)?,
                state: row.get(3)?,
                flags: FlagSet::from_bits(row.get(6)?),
                fields: json(row.get(4)?),
                approved: row.get::<_, Option<String>>(5)?.map(json),
            });
        }
        Ok(())
    }

    /// The code of every service target, by its document's id.
    fn target_codes(&self, forms: &FormSet) -> Result<BTreeMap<String, String>, ProjectionError> {
        let mut codes = BTreeMap::new();
        self.each_entry(forms, TARGET_FORM, |id, _, answers| {
            if let Some(Answer::Text(code)) = answers.get("code") {
                codes.insert(id, code.clone());
            }
        })?;
        Ok(codes)
    }

    /// What the stations are to reach in a year. Of two entries for the same, the greater counts: nobody's task shrinks
    /// because it was entered twice.
    fn tasks(&self, forms: &FormSet, filter: &Filter, year: i16) -> Result<Tasks, ProjectionError> {
        let mut tasks = Tasks::new();
        self.each_entry(forms, TASK_FORM, |_, station, answers| {
            let is_of_year = matches!(answers.get("year"), Some(Answer::Int(of)) if *of == i64::from(year));
            let wanted = filter.station.as_ref().is_none_or(|wanted| station.as_ref() == Some(wanted));
            let (Some(station), Some(Answer::Choice(indicator)), Some(Answer::Decimal(target)), true, true) =
                (station, answers.get("indicator"), answers.get("target_value"), is_of_year, wanted)
            else {
                return;
            };
            let place = tasks.entry(station).or_default().entry(indicator.clone()).or_insert(Decimal::ZERO);
            *place = (*place).max(*target);
        })?;
        Ok(tasks)
    }

    /// Calls back with id, station and answers of every entry of a directory's form that is not withdrawn.
    fn each_entry(
        &self,
        forms: &FormSet,
        form: &str,
        mut visit: impl FnMut(String, Option<String>, Values),
    ) -> Result<(), ProjectionError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, station, form_version, fields FROM record WHERE gone = 0 AND form = ?1 AND state <> 'withdrawn'",
        )?;
        let mut rows = statement.query([form])?;
        while let Some(row) = rows.next()? {
            let fields: String = row.get(3)?;
            let Some(known) = form_of(forms, form, row.get(2)?) else { continue };
            let fields = serde_json::from_str(&fields).unwrap_or(Value::Null);
            let id = qianmo_protocol::ids::DocId(row.get(0)?).to_string();
            visit(id, row.get(1)?, answers(known, &fields));
        }
        Ok(())
    }
}
