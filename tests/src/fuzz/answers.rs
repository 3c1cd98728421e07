//! What people type into a form, and the small texts that other programs hand over.

use qianmo_forms::{Date, Decimal, Field, FormSet, Lang, Time, Value, personal, text};
use qianmo_protocol::ids::{Code, DocId};
use qianmo_protocol::record::{ResolveList, RowKey};
use qianmo_protocol::time::Month;

pub(super) const WORDS: &[&str] = &[
    "１２",
    "约",
    "亩",
    "二〇二五年六月十五日",
    "2025-6-15",
    "8:30",
    "下午3点半",
    "是",
    "否",
    "、",
    ",",
    " ",
    "\u{3000}",
    "-0.000",
    "1,234.5",
    "40.123456",
    "E",
    "11010519491231002X",
    "13800138000",
    "\n",
    "\u{200B}",
    "\u{FEFF}",
    "e9",
    "½",
    "resolve 1\n",
    "\t",
];

thread_local! {
    static FIELDS: Vec<Field> = fields();
}

/// The fields of all shipped forms, those of their repeats too.
fn fields() -> Vec<Field> {
    let forms = FormSet::built_in().unwrap();
    let of_form = |form: &qianmo_forms::Form| {
        let rows = form.repeats().iter().flat_map(|repeat| repeat.fields().to_vec());
        form.fields().iter().cloned().chain(rows).collect::<Vec<_>>()
    };
    forms.iter().flat_map(of_form).collect()
}

/// The first two bytes say which field, the rest is typed.
pub(super) fn run(bytes: &[u8]) {
    let Some((number, typed)) = bytes.split_first_chunk::<2>() else { return };
    let typed = String::from_utf8_lossy(typed);
    FIELDS.with(|fields| answered(&fields[usize::from(u16::from_be_bytes(*number)) % fields.len()], &typed));
    small_texts(&typed);
}

fn answered(field: &Field, typed: &str) {
    let value = match field.parse_input(typed) {
        Ok(value) => value,
        Err(error) => {
            let label = error.message();
            assert!(!label.zh.is_empty() && !label.en.is_empty());
            return;
        }
    };
    assert!(value.fits(&field.field_type));
    assert_eq!(field.parse_input(&value.to_input()).as_ref(), Ok(&value), "typed again as {:?}", value.to_input());
    assert_eq!(Value::from_scalar(field, &value.to_scalar()).as_ref(), Ok(&value));
    assert!(value.is_null() || Lang::ALL.iter().all(|lang| !value.display(field, *lang).is_empty()));
}

fn small_texts(typed: &str) {
    if let Ok(number) = typed.parse::<Decimal>() {
        assert_eq!(number.to_string().parse(), Ok(number));
        assert_eq!(number.checked_sub(number), Some(Decimal::ZERO));
        for other in [number, Decimal::ZERO, Decimal::new(i64::MIN, 9).unwrap_or(Decimal::ZERO)] {
            if let Some(sum) = number.checked_add(other) {
                assert_eq!(other.checked_add(number), Some(sum));
            }
            assert_eq!(number.checked_mul(other), other.checked_mul(number));
            let divided = [number.checked_div(other), number.checked_rem(other)];
            assert!(other != Decimal::ZERO || divided == [None, None], "divided by zero");
        }
    }
    if let Some(date) = Date::from_iso(typed) {
        assert_eq!(date.to_string(), typed);
        assert_eq!(Date::from_days_since_1970(date.days_since_1970()), Some(date));
    }
    if let Some(time) = Time::from_iso(typed) {
        assert_eq!(time.to_string(), typed);
    }
    if let Some(month) = Month::parse(typed) {
        assert_eq!(Month::parse(&month.to_string()), Some(month));
    }
    if let Ok(code) = Code::new(typed) {
        assert_eq!(code.as_str(), typed);
    }
    if let Some(row) = RowKey::parse(typed) {
        assert_eq!(row.to_string(), typed);
    }
    if let Some(doc) = DocId::from_hex(typed) {
        assert_eq!(doc.to_string(), typed.to_ascii_lowercase());
    }
    if let Ok(list) = ResolveList::decode(typed) {
        assert_eq!(list.encode().as_deref(), Ok(typed));
    }
    for (_, range) in personal::find(typed) {
        assert!(typed.get(range).is_some_and(|found| !found.is_empty()), "a number that is not there");
    }
    if let Some(masked) = personal::mask(typed) {
        assert!(personal::find(&masked).is_empty(), "masked, and still there: {masked}");
    }
    let clean = text::clean(typed, text::Lines::Many);
    assert_eq!(text::clean(&clean, text::Lines::Many), clean, "cleaned twice, another text");
    let structural = text::structural(typed);
    assert_eq!(text::structural(&structural), structural);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let typed = [
        "12.50",
        "2025-06-15",
        "2025年6月5日",
        "08:30",
        "是",
        "桃",
        "约１２亩",
        "40.123456",
        "-117.5",
        "P01 P02",
        "多行\n文字",
        "11010519491231002X",
        "0000000000000000",
        "2025-06",
        "resolve 1\ncrop\t",
        "",
    ];
    let mut seeds = Vec::new();
    for (number, field) in FIELDS.with(Clone::clone).iter().enumerate() {
        let number = u16::try_from(number).unwrap().to_be_bytes();
        let choice =
            field.field_type.choices().and_then(|list| list.iter().next().map(|choice| choice.label.zh.clone()));
        let text = choice.unwrap_or_else(|| typed[usize::from(number[1]) % typed.len()].to_owned());
        seeds.push([&number, text.as_bytes()].concat());
    }
    seeds.extend(typed.iter().map(|text| [&[0, 0], text.as_bytes()].concat()));
    seeds
}
