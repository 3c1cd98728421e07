//! The sample visits that are embedded in the program, as answers to the visit form.
//!
//! A row is taken when the form accepts it as it stands. Nothing is repaired or guessed: that is the work of an importer.
//! What is left is counted, with the reason.
//!
//! # See
//!
//! `server/bin/data/sample/README.md`: the columns.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use qianmo_forms::{Context, Date, Field, Form, FormSet, Label, Mode, Values, validate};

/// One station's visits of a year; fictional.
const VISITS: &str = include_str!("../data/sample/visits-st01.csv");
/// The station they are of.
pub(crate) const STATION: &str = "ST01";
const KIND: &str = "走访巡田";

/// Columns whose cell is the answer to a field.
const PLAIN: [(&str, &str); 18] = [
    ("记录编号", "record_no"),
    ("服务方式", "service_mode"),
    ("日期", "activity_date"),
    ("开始时间", "start_time"),
    ("结束时间", "end_time"),
    ("填报日期", "reported_on"),
    ("人员编号", "staff_id"),
    ("对象编号", "target_id"),
    ("村代码", "village_code"),
    ("纬度", "lat"),
    ("经度", "lon"),
    ("坐标系", "coord_system"),
    ("作物", "crop_id"),
    ("服务内容", "content"),
    ("技术建议", "advice"),
    ("面积(亩)", "area_seen_mu"),
    ("满意度", "satisfaction"),
    ("照片数", "photo_count"),
];
/// Columns for a list whose field has a twin for words that the list lacks.
const IN_WORDS: [(&str, &str, &str); 3] = [
    ("品种", "variety_id", "variety_text"),
    ("物候期", "phenology_id", "phenology_text"),
    ("病虫害", "pest_id", "pest_text"),
];

/// One visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    /// Its number in the ledger.
    pub(crate) number: String,
    /// Who made it.
    pub(crate) person: String,
    /// The month of its logbook, `YYYY-MM`.
    pub(crate) month: String,
    /// The answers, as text that the form reads.
    pub(crate) answers: BTreeMap<String, String>,
}

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Rows in the file.
    pub(crate) rows: usize,
    /// Those the form accepts, in the order of the file.
    pub(crate) visits: Vec<Visit>,
    /// The numbers of those left, with the reason.
    pub(crate) left: Vec<(String, Label)>,
}

impl Sample {
    /// Reads the embedded file.
    ///
    /// # Errors
    /// The embedded file or form is damaged; a test holds that they are not.
    pub(crate) fn embedded(today: Option<Date>) -> anyhow::Result<Self> {
        let forms = FormSet::built_in()?;
        let form = forms.get("visit").context("there is no form `visit`")?;
        Self::read(VISITS, form, today)
    }

    fn read(text: &str, form: &Form, today: Option<Date>) -> anyhow::Result<Self> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        for (column, _) in PLAIN {
            ensure!(header.iter().any(|known| known == column), "the sample has no column {column}");
        }
        let mut sample = Self::default();
        for record in reader.records() {
            let record = record?;
            let row: BTreeMap<&str, &str> = header.iter().map(String::as_str).zip(record.iter()).collect();
            sample.rows += 1;
            match visit(&row, form, today) {
                Ok(visit) => sample.visits.push(visit),
                Err(reason) => sample.left.push((cell(&row, "记录编号").to_owned(), reason)),
            }
        }
        Ok(sample)
    }
}

fn cell<'r>(row: &BTreeMap<&str, &'r str>, column: &str) -> &'r str {
    row.get(column).copied().unwrap_or_default().trim()
}

fn visit(row: &BTreeMap<&str, &str>, form: &Form, today: Option<Date>) -> Result<Visit, Label> {
    if cell(row, "站点编号") != STATION || cell(row, "记录类型") != KIND {
        return Err(Label::new(format!("不是{STATION}的{KIND}"), format!("not a visit of {STATION}")));
    }
    let mut typed = BTreeMap::new();
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            typed.insert(name.to_owned(), text.to_owned());
        }
    };
    for (column, name) in PLAIN {
        put(name, cell(row, column));
    }
    put("remark", cell(row, "备注"));
    if cell(row, "对象编号").is_empty() {
        put("target_name", cell(row, "服务对象"));
    }
    put("town_code", cell(row, "村代码").get(..9).unwrap_or_default());
    for (column, id, words) in IN_WORDS {
        let text = cell(row, column);
        let known = field(form, id)?.parse_input(text).is_ok();
        put(if known { id } else { words }, text);
    }
    let (date, answers) = judged(form, typed, today)?;
    let month = date.get(..7).unwrap_or_default().to_owned();
    Ok(Visit {
        number: cell(row, "记录编号").to_owned(), person: cell(row, "人员编号").to_owned(), month, answers
    })
}

/// The answers, if the form accepts them as a submission, and the date in its one spelling.
fn judged(
    form: &Form,
    typed: BTreeMap<String, String>,
    today: Option<Date>,
) -> Result<(String, BTreeMap<String, String>), Label> {
    let mut values = Values::new();
    for (name, text) in &typed {
        let read = field(form, name)?.parse_input(text);
        let value = read.map_err(|error| reason(name, &error.message()))?;
        values.insert(name.clone(), value);
    }
    let date = values.get("activity_date").map(qianmo_forms::Value::to_input).unwrap_or_default();
    let verdict = validate(form, &values, &Context { mode: Mode::Submit, today });
    match verdict.errors.first() {
        Some(fault) => Err(reason(&fault.path, &fault.message)),
        None => Ok((date, typed)),
    }
}

fn reason(path: &str, message: &Label) -> Label {
    Label::new(format!("{path}: {}", message.zh), format!("{path}: {}", message.en))
}

fn field<'f>(form: &'f Form, name: &str) -> Result<&'f Field, Label> {
    form.field(name).ok_or_else(|| reason(name, &Label::new("表单没有这一项", "the form has no such field")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample::embedded(Date::new(2026, 1, 31)).unwrap()
    }

    #[test]
    fn every_embedded_row_is_taken_or_left_with_its_reason() {
        let sample = sample();
        assert_eq!(sample.rows, 45);
        assert_eq!(sample.visits.len() + sample.left.len(), sample.rows);
        let left: Vec<&str> = sample.left.iter().map(|(number, _)| number.as_str()).collect();
        assert_eq!(left, ["ST01-2025-0007", "ST01-2025-0132"], "{:?}", sample.left);
        assert!(sample.left.iter().all(|(_, reason)| !reason.zh.is_empty() && !reason.en.is_empty()));
    }

    #[test]
    fn answers_are_those_of_the_row_and_months_are_several() {
        let sample = sample();
        let months: std::collections::BTreeSet<&str> = sample.visits.iter().map(|visit| visit.month.as_str()).collect();
        assert!(months.len() >= 10, "{months:?}");
        let visit = sample.visits.iter().find(|visit| visit.number == "ST01-2025-0298").unwrap();
        let answer = |name: &str| visit.answers.get(name).map(String::as_str);
        assert_eq!((visit.person.as_str(), visit.month.as_str()), ("P03", "2025-11"));
        assert_eq!(answer("village_code"), Some("110117105212"));
        assert_eq!(answer("town_code"), Some("110117105"));
        assert_eq!(answer("crop_id"), Some("大桃"));
        assert_eq!(answer("photo_count"), Some("5张"));
        assert_eq!(answer("target_name"), None);
    }

    #[test]
    fn date_in_another_spelling_still_finds_its_month() {
        let visit = sample().visits.into_iter().find(|visit| visit.number == "ST01-2025-0100").unwrap();
        assert_eq!(visit.month, "2025-04");
    }

    #[test]
    fn words_the_list_lacks_are_kept_as_words() {
        let sample = sample();
        let in_words = |visit: &&Visit| visit.answers.contains_key("variety_text");
        assert!(sample.visits.iter().filter(in_words).all(|visit| !visit.answers.contains_key("variety_id")));
    }

    #[test]
    fn row_of_another_station_or_with_a_bad_answer_is_left() {
        let forms = FormSet::built_in().unwrap();
        let header = VISITS.lines().next().unwrap();
        let row = VISITS.lines().find(|line| line.starts_with("ST01-2025-0298")).unwrap();
        let other = row.replace(",ST01,", ",ST02,");
        let bad = row.replace("08:50", "25:50");
        let text = format!("{header}\n{row}\n{other}\n{bad}\n");
        let sample = Sample::read(&text, forms.get("visit").unwrap(), None).unwrap();
        assert_eq!((sample.rows, sample.visits.len(), sample.left.len()), (3, 1, 2));
        assert!(sample.left[1].1.en.starts_with("start_time"), "{:?}", sample.left);
        assert!(Sample::read("a,b\n1,2\n", forms.get("visit").unwrap(), None).is_err());
    }
}
