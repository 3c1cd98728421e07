//! Values: what people type is read, what is stored comes back, and nothing is guessed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test harness: a failed step is the failure")]

use std::{collections::BTreeSet, sync::LazyLock};

use proptest::prelude::*;
use qianmo_forms::{
    ChoiceLists, Date, Decimal, Field, FieldType, Form, FormSet, Lang, Scalar, Time, Value, ValueError,
};

static EVERY_TYPE: LazyLock<Form> = LazyLock::new(form_of_every_type);

fn every_type() -> &'static Form {
    &EVERY_TYPE
}

/// One field of every type, with units where they may be.
fn form_of_every_type() -> Form {
    let types = [
        ("text", "max_chars = 20"),
        ("long_text", ""),
        ("integer", "unit = { zh = '张', en = 'photos' }"),
        ("decimal", "decimals = 2\nunit = { zh = '亩', en = 'mu' }"),
        ("latitude", ""),
        ("longitude", ""),
        ("accuracy", "unit = { zh = '米', en = 'm' }"),
        ("date", ""),
        ("time", ""),
        ("choice", "list = 'service_mode'"),
        ("choices", "list = 'crop'"),
        ("boolean", ""),
        ("reference", "reference = 'target'"),
        ("references", "reference = 'person'"),
    ];
    let field = |name: &str, kind: &str, more: &str| {
        format!(
            "[[fields]]\nname = '{name}'\nsection = 'all'\ntype = '{kind}'\nlabels = {{ zh = '项', en = 'Item' }}\n{more}\n"
        )
    };
    let mut text = "id = 'all'\nversion = 1\nkind = 'record'\nlabels = { zh = '全', en = 'All' }\n\
                    [[sections]]\nname = 'all'\nlabels = { zh = '全', en = 'All' }\n"
        .to_owned();
    types.iter().for_each(|(kind, more)| text.push_str(&field(&format!("a_{kind}"), kind, more)));
    text.push_str(&field("a_scale", "integer", "list = 'satisfaction'"));
    Form::parse(&text, &ChoiceLists::built_in().unwrap()).unwrap()
}

fn texts<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.map(str::to_owned).into()
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse().unwrap())
}

#[test]
fn what_people_type_is_read() {
    let form = every_type();
    for (name, typed, value) in [
        ("a_text", " 一行\n两行\u{200B} ", Value::Text("一行 两行".to_owned())),
        ("a_long_text", "一行\r\n两行\u{0}", Value::Text("一行\n两行".to_owned())),
        ("a_long_text", "=1+1 ＡＢＣ", Value::Text("=1+1 ＡＢＣ".to_owned())),
        ("a_integer", "３ 张", Value::Int(3)),
        ("a_integer", "3.0", Value::Int(3)),
        ("a_integer", "-7", Value::Int(-7)),
        ("a_decimal", " １２．５０亩 ", decimal("12.5")),
        ("a_decimal", "12.5 mu", decimal("12.5")),
        ("a_latitude", "40.236040", decimal("40.23604")),
        ("a_longitude", "117.04343", decimal("117.04343")),
        ("a_accuracy", "12米", decimal("12")),
        ("a_date", "２０２５年６月１８日", Value::Date(Date::new(2025, 6, 18).unwrap())),
        ("a_time", "下午３：０５", Value::Time(Time::new(15, 5).unwrap())),
        ("a_choice", "onsite", Value::Choice("onsite".to_owned())),
        ("a_choice", "现场", Value::Choice("onsite".to_owned())),
        ("a_choice", "ON  site", Value::Choice("onsite".to_owned())),
        ("a_choice", "下地", Value::Choice("onsite".to_owned())),
        ("a_choices", "大桃、板栗,Sweet cherry", Value::Choices(texts(["peach", "chestnut", "sweet_cherry"]))),
        ("a_choices", "peach pear peach", Value::Choices(texts(["peach", "pear"]))),
        ("a_boolean", "是", Value::Bool(true)),
        ("a_boolean", "No", Value::Bool(false)),
        ("a_reference", "T017", Value::Reference("T017".to_owned())),
        ("a_references", "P02, P03;P02", Value::References(texts(["P02", "P03"]))),
        ("a_scale", "5", Value::Int(5)),
        ("a_scale", "很满意", Value::Int(5)),
        ("a_scale", "★★★★", Value::Int(4)),
        ("a_scale", "3分", Value::Int(3)),
    ] {
        assert_eq!(form.field(name).unwrap().parse_input(typed), Ok(value), "{name} {typed}");
    }
    for field in form.fields() {
        for blank in ["", "  ", "\u{3000}\u{FEFF}"] {
            assert_eq!(field.parse_input(blank), Ok(Value::Null), "{}", field.name);
        }
    }
}

#[test]
fn what_is_not_an_answer_is_refused_with_its_reason() {
    let form = every_type();
    for (name, typed, error) in [
        ("a_integer", "3.5", ValueError::NotInteger),
        ("a_integer", "三", ValueError::NotInteger),
        ("a_integer", "99999999999999999999", ValueError::NumberTooLarge),
        ("a_decimal", "12.555", ValueError::TooManyDecimals { max: 2 }),
        ("a_decimal", "0.1234567891", ValueError::TooManyDecimals { max: 2 }),
        ("a_decimal", "约20", ValueError::NotDecimal),
        ("a_decimal", "1,200", ValueError::NotDecimal),
        ("a_decimal", "99999999999999999999", ValueError::NumberTooLarge),
        ("a_latitude", "40.2360401", ValueError::TooManyDecimals { max: 6 }),
        ("a_date", "六月十八", ValueError::NotDate),
        ("a_date", "2025-02-30", ValueError::NoSuchDay),
        ("a_time", "25:00", ValueError::NotTime),
        ("a_choice", "飞鸽", ValueError::UnknownChoice),
        ("a_choices", "大桃、飞鸽", ValueError::UnknownChoice),
        ("a_choices", "、", ValueError::UnknownChoice),
        ("a_boolean", "也许", ValueError::NotBoolean),
        ("a_reference", "样例农户", ValueError::NotReference { max: 64 }),
        ("a_reference", "../../etc", ValueError::NotReference { max: 64 }),
        ("a_references", "P02, 张三", ValueError::NotReference { max: 64 }),
        ("a_scale", "6", ValueError::UnknownChoice),
    ] {
        assert_eq!(form.field(name).unwrap().parse_input(typed), Err(error.clone()), "{name} {typed}");
        let message = error.message();
        assert!(!message.zh.is_empty() && message.en.starts_with(|c: char| c.is_ascii_uppercase()), "{message:?}");
    }
    let long = form.field("a_long_text").unwrap().parse_input(&"长".repeat(10_001));
    assert_eq!(long, Err(ValueError::TooLong { chars: 10_001, max: 10_000 }));
    assert_eq!(
        form.field("a_reference").unwrap().parse_input(&"T".repeat(65)),
        Err(ValueError::NotReference { max: 64 })
    );
}

#[test]
fn stored_scalars_are_canonical_and_wrong_ones_are_refused() {
    let form = every_type();
    let stored = |name: &str, typed: &str| form.field(name).unwrap().parse_input(typed).unwrap().to_scalar();
    assert_eq!(stored("a_decimal", "12.50"), Scalar::Text("12.5".to_owned()));
    assert_eq!(stored("a_date", "2025/6/8"), Scalar::Text("2025-06-08".to_owned()));
    assert_eq!(stored("a_time", "9点"), Scalar::Text("09:00".to_owned()));
    assert_eq!(stored("a_choices", "梨、桃"), Scalar::Text("peach pear".to_owned()));
    assert_eq!(
        (stored("a_boolean", "是"), stored("a_scale", "满意"), stored("a_text", "")),
        (Scalar::Bool(true), Scalar::Int(4), Scalar::Null)
    );

    let read = |name: &str, scalar: Scalar| Value::from_scalar(form.field(name).unwrap(), &scalar);
    let text = |text: &str| Scalar::Text(text.to_owned());
    assert_eq!(read("a_decimal", text("12.500")), Ok(decimal("12.5")));
    assert_eq!(read("a_decimal", Scalar::Int(12)), Ok(decimal("12")));
    assert_eq!(read("a_choice", text("of_a_newer_list")), Ok(Value::Choice("of_a_newer_list".to_owned())));
    assert_eq!(read("a_choice", text("")), Ok(Value::Null));
    let wrong = |expected, found| Err(ValueError::WrongScalar { expected, found });
    for (name, scalar, result) in [
        ("a_text", Scalar::Int(1), wrong("a text", "a whole number")),
        ("a_date", Scalar::Bool(true), wrong("a text", "a boolean")),
        ("a_integer", text("1"), wrong("a whole number", "a text")),
        ("a_boolean", Scalar::Int(1), wrong("a boolean", "a whole number")),
        ("a_boolean", text("true"), wrong("a boolean", "a text")),
        ("a_date", text("2025-6-8"), Err(ValueError::NotDate)),
        ("a_time", text("9:00"), Err(ValueError::NotTime)),
        ("a_decimal", text("1e3"), Err(ValueError::NotDecimal)),
        ("a_decimal", text("0.1234567891"), Err(ValueError::TooManyDecimals { max: 9 })),
        ("a_choices", text("peach  pear"), Err(ValueError::NotReference { max: 64 })),
        ("a_reference", text("a b"), Err(ValueError::NotReference { max: 64 })),
    ] {
        assert_eq!(read(name, scalar), result, "{name}");
    }
}

#[test]
fn values_are_shown_by_their_labels() {
    let form = every_type();
    for (name, typed, zh, en) in [
        ("a_choice", "wechat", "微信", "WeChat"),
        ("a_choices", "梨 桃", "大桃、梨", "Peach, Pear"),
        ("a_boolean", "1", "是", "Yes"),
        ("a_scale", "4", "满意", "Satisfied"),
        ("a_decimal", "12.50", "12.5", "12.5"),
        ("a_date", "2025/6/8", "2025-06-08", "2025-06-08"),
        ("a_text", "", "", ""),
    ] {
        let field = form.field(name).unwrap();
        let value = field.parse_input(typed).unwrap();
        assert_eq!(
            (value.display(field, Lang::Zh), value.display(field, Lang::En)),
            (zh.to_owned(), en.to_owned()),
            "{name}"
        );
    }
    let unknown = Value::Choice("of_a_newer_list".to_owned());
    assert_eq!(unknown.display(form.field("a_choice").unwrap(), Lang::Zh), "of_a_newer_list");
}

#[test]
fn every_visit_answer_survives_input_storage_and_editing() {
    let forms = FormSet::built_in().unwrap();
    let visit = forms.get("visit").unwrap();
    let typed = |field: &Field| match &field.field_type {
        FieldType::Text { .. } | FieldType::LongText { .. } => "查看约12亩,梨小零星".to_owned(),
        FieldType::Integer { scale: None } => "3".to_owned(),
        FieldType::Decimal { .. } | FieldType::Latitude | FieldType::Longitude | FieldType::Accuracy => {
            "40.5".to_owned()
        }
        FieldType::Date => "2025年6月18日".to_owned(),
        FieldType::Time => "9点半".to_owned(),
        FieldType::Choice(list) | FieldType::Choices(list) | FieldType::Integer { scale: Some(list) } => {
            list.iter().last().unwrap().label.zh.clone()
        }
        FieldType::Boolean => "是".to_owned(),
        FieldType::Reference(_) | FieldType::References(_) => "T017".to_owned(),
    };
    for field in visit.fields() {
        let value = field.parse_input(&typed(field)).unwrap_or_else(|error| panic!("{}: {error}", field.name));
        assert!(!value.is_null() && value.fits(&field.field_type), "{}", field.name);
        assert_eq!(Value::from_scalar(field, &value.to_scalar()), Ok(value.clone()), "{}", field.name);
        assert_eq!(field.parse_input(&value.to_input()), Ok(value.clone()), "{}", field.name);
        assert_eq!(field.parse_input(&value.display(field, Lang::Zh)), Ok(value.clone()), "{}", field.name);
        assert_eq!(field.parse_input(&value.display(field, Lang::En)), Ok(value), "{}", field.name);
    }
}

#[test]
fn every_name_of_every_choice_leads_to_it() {
    for list in ChoiceLists::built_in().unwrap().iter() {
        for choice in list.iter() {
            for name in [&choice.id, &choice.label.zh, &choice.label.en].into_iter().chain(&choice.aliases) {
                assert_eq!(list.find(name).map(|found| &found.id), Some(&choice.id), "{} {name}", list.id());
            }
        }
    }
}

fn any_value(field_type: &FieldType) -> BoxedStrategy<Value> {
    let id = "[A-Za-z0-9_.:-]{1,64}";
    let ids = || prop::collection::btree_set("[A-Za-z0-9_.:-]{1,12}", 1..4);
    let one_of = |list: &qianmo_forms::ChoiceList| {
        prop::sample::select(list.iter().map(|choice| choice.id.clone()).collect::<Vec<_>>())
    };
    match field_type {
        FieldType::Text { .. } => "[^\\p{C}\\s]([^\\p{C}]{0,10}[^\\p{C}\\s])?".prop_map(Value::Text).boxed(),
        FieldType::LongText { .. } => "[^\\p{C}\\s]([^\\p{C}\r]|\n|\t){0,20}[^\\p{C}\\s]".prop_map(Value::Text).boxed(),
        FieldType::Integer { scale: None } => any::<i64>().prop_map(Value::Int).boxed(),
        FieldType::Integer { scale: Some(_) } => (1..=5_i64).prop_map(Value::Int).boxed(),
        FieldType::Decimal { .. } | FieldType::Latitude | FieldType::Longitude | FieldType::Accuracy => {
            let decimals = field_type.decimals().unwrap();
            (any::<i64>(), 0..=decimals)
                .prop_map(|(mantissa, scale)| Value::Decimal(Decimal::new(mantissa, scale).unwrap()))
                .boxed()
        }
        FieldType::Date => {
            (-25_567..=84_005_i64).prop_map(|day| Value::Date(Date::from_days_since_1970(day).unwrap())).boxed()
        }
        FieldType::Time => {
            (0..24_u8, 0..60_u8).prop_map(|(hour, minute)| Value::Time(Time::new(hour, minute).unwrap())).boxed()
        }
        FieldType::Choice(list) => one_of(list).prop_map(Value::Choice).boxed(),
        FieldType::Choices(list) => prop::collection::btree_set(one_of(list), 1..5).prop_map(Value::Choices).boxed(),
        FieldType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        FieldType::Reference(_) => id.prop_map(Value::Reference).boxed(),
        FieldType::References(_) => ids().prop_map(Value::References).boxed(),
    }
}

fn any_answer() -> impl Strategy<Value = (Field, Value)> {
    prop::sample::select(every_type().fields().to_vec()).prop_flat_map(|field| {
        let value = any_value(&field.field_type);
        (Just(field), value)
    })
}

proptest! {
    #[test]
    fn prop_every_value_survives_storage_and_editing((field, value) in any_answer()) {
        prop_assert!(value.fits(&field.field_type));
        prop_assert_eq!(Value::from_scalar(&field, &value.to_scalar()), Ok(value.clone()));
        prop_assert_eq!(field.parse_input(&value.to_input()), Ok(value));
    }

    #[test]
    fn prop_reading_any_input_never_panics_and_is_stable(typed in "\\PC{0,40}|[0-9０-９.,:年月日点、 -]{0,12}|(.|\n|\r|\t){0,20}") {
        for field in every_type().fields() {
            if let Ok(value) = field.parse_input(&typed) {
                prop_assert_eq!(field.parse_input(&value.to_input()), Ok(value.clone()), "{}", field.name);
                prop_assert_eq!(Value::from_scalar(field, &value.to_scalar()), Ok(value), "{}", field.name);
            }
        }
    }

    #[test]
    fn prop_reading_any_stored_text_never_panics(stored in ".{0,40}") {
        for field in every_type().fields() {
            if let Ok(value) = Value::from_scalar(field, &Scalar::Text(stored.clone())) {
                prop_assert_eq!(Value::from_scalar(field, &value.to_scalar()), Ok(value), "{}", field.name);
            }
        }
    }
}
