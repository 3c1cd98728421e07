//! The expression language: what parses, what it comes to, and that nothing breaks it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::value::{Date, Time, Value};

fn answers() -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("area".to_owned(), Value::Decimal("12.5".parse().unwrap())),
        ("rows".to_owned(), Value::Int(3)),
        ("start".to_owned(), Value::Time(Time::new(9, 30).unwrap())),
        ("day".to_owned(), Value::Date(Date::new(2025, 6, 18).unwrap())),
        ("crop".to_owned(), Value::Choice("peach".to_owned())),
        ("pests".to_owned(), Value::Choices(["mite", "moth"].map(str::to_owned).into())),
        ("yes".to_owned(), Value::Bool(true)),
        ("no".to_owned(), Value::Bool(false)),
        ("cleared".to_owned(), Value::Null),
        ("words".to_owned(), Value::Text("梨小食心虫".to_owned())),
        ("code".to_owned(), Value::Reference("110117105".to_owned())),
    ])
}

fn evaluate(text: &str) -> Operand {
    let answers = answers();
    let this = Value::Time(Time::new(10, 5).unwrap());
    let scope = Scope { this: Some(&this), answers: &answers, today: Date::new(2025, 6, 20) };
    Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).evaluate(&scope)
}

#[test]
fn comparisons_and_logic_come_out_as_documented() {
    for text in [
        ". >= ${start}",
        "${area} = 12.50",
        "${area} > 12 and ${area} < 13",
        "1 = 2 or 2 = 2 and 3 = 3",
        "not(${missing} = 'x')",
        "${missing} = ''",
        "${cleared} = ${missing}",
        "${missing} != 'x'",
        "not(${missing} < 1) and not(${missing} >= 1)",
        "${day} <= today()",
        "decimal-date-time(today()) - decimal-date-time(${day}) = 2",
        "selected(${crop}, 'peach')",
        "selected(${pests}, 'moth') and not(selected(${pests}, 'mot'))",
        "not(selected(${missing}, ''))",
        "count-selected(${pests}) = 2 and count-selected(${missing}) = 0",
        "string-length(${words}) = 5",
        "contains(${words}, '食心') and starts-with(${words}, '梨小')",
        "starts-with('110117105208', ${code})",
        "${yes} and not(${no})",
        "${yes} = true() and ${no} = false() and ${missing} = false()",
        "${code} = 110117105",
        "number('x') = '' and number('2.50') = 2.5",
        "coalesce(${missing}, ${cleared}, 7) = 7",
        "if(${rows} > 2, 'many', 'few') = 'many'",
        "\"it's\" != 'its'",
        "'9' > '10'",
        "number('9') < number('10')",
        "${rows}",
        "'a'",
    ] {
        assert!(evaluate(text).is_true(), "{text}");
    }
    for text in [
        "${missing}",
        "0",
        "''",
        "${no}",
        "1 div 0",
        "1 div 0 = 1 div 0 and 1 div 0 > 0",
        "${yes} < 2",
        "'x' < 5",
        "'x' = 5",
    ] {
        assert!(!evaluate(text).is_true(), "{text}");
    }
}

#[test]
fn arithmetic_is_exact_and_has_the_usual_precedence() {
    for (text, result) in [
        ("0.1 + 0.2", "0.3"),
        ("2 + 3 * 4 - 10 div 4", "11.5"),
        ("(2 + 3) * -4", "-20"),
        ("10 - 4 - 3", "3"),
        ("7 mod 3 * 2", "2"),
        ("-7 mod 3", "-1"),
        ("${area} * ${rows}", "37.5"),
        ("--5", "5"),
        ("1 div 3", "0.333333333"),
    ] {
        assert_eq!(evaluate(text), Operand::Number(result.parse().unwrap()), "{text}");
    }
    for text in [
        "${missing} + 1",
        "1 mod 0",
        "9223372036854775807 + 1",
        "-${missing}",
        "'x' * 2",
        "decimal-date-time('18/6/2025')",
    ] {
        assert_eq!(evaluate(text), Operand::Nothing, "{text}");
    }
}

#[test]
fn every_fault_has_its_offset_and_reason() {
    use ExpressionErrorKind as Kind;
    let unexpected = |found: &str, expected| Kind::Unexpected { found: found.to_owned(), expected };
    for (text, offset, kind) in [
        ("", 0, Kind::UnexpectedEnd),
        ("1 +", 3, Kind::UnexpectedEnd),
        ("(1", 2, Kind::UnexpectedEnd),
        ("1 2", 2, unexpected("2", "an operator or the end")),
        ("1 + * 2", 4, unexpected("*", "a value")),
        ("(1 ]", 3, Kind::UnexpectedCharacter(']')),
        (". ＝ 1", 2, Kind::UnexpectedCharacter('＝')),
        ("!1", 0, Kind::UnexpectedCharacter('!')),
        (".5", 1, unexpected("5", "an operator or the end")),
        ("'open", 0, Kind::UnclosedText('\'')),
        ("${open", 0, Kind::UnclosedField),
        ("${Open}", 0, Kind::BadFieldName("Open".to_owned())),
        ("99999999999999999999", 0, Kind::NumberTooLarge),
        ("0.1234567891", 0, Kind::NumberTooLarge),
        ("1 and regex(., 'x')", 6, Kind::UnknownFunction("regex".to_owned())),
        ("or 1", 0, unexpected("or", "a value")),
        ("today", 5, Kind::UnexpectedEnd),
        ("not 1", 4, unexpected("1", "`(`")),
        ("1 + if(1, 2)", 4, Kind::ArgumentCount { function: "if", min: 3, max: 3, found: 2 }),
        ("today(1)", 0, Kind::ArgumentCount { function: "today", min: 0, max: 0, found: 1 }),
        ("if(1 2, 3)", 5, unexpected("2", "`,` or `)`")),
        ("1 < 2 < 3", 6, Kind::ChainedComparison),
    ] {
        assert_eq!(Expression::parse(text), Err(ExpressionError { offset, kind }), "{text}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let long = format!("1{}", "+1".repeat(512));
    let error = Expression::parse(&long).unwrap_err();
    assert_eq!(error.kind, ExpressionErrorKind::TooLong { bytes: 1_025, max: EXPRESSION_BYTES_MAX });
    let longest = format!("1{} ", "+1".repeat(511));
    assert_eq!(longest.len(), EXPRESSION_BYTES_MAX);
    assert_eq!(evaluate(&longest), Operand::Number(Decimal::from(512)));

    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::parse(&nested(EXPRESSION_DEPTH_MAX - 1)).is_ok());
    for text in [nested(EXPRESSION_DEPTH_MAX), "-".repeat(1_000), "(".repeat(1_000), "not(".repeat(200)] {
        let error = Expression::parse(&text).unwrap_err();
        assert_eq!(error.kind, ExpressionErrorKind::TooDeep { max: EXPRESSION_DEPTH_MAX }, "{text}");
    }
}

#[test]
fn what_an_expression_reads_is_listed() {
    let expression = Expression::parse("${b} = 'x' and selected(., 'y') or 5 = ${a} + ${b} or 'z' != ${c}").unwrap();
    assert_eq!(expression.fields().into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(expression.reads_this());
    let literals = expression.compared_literals();
    assert_eq!(literals, [(Some("b"), "x".to_owned()), (None, "y".to_owned()), (Some("c"), "z".to_owned())]);
    assert!(!Expression::parse("${a} = ''").unwrap().reads_this());
    assert!(Expression::parse("${a} = ''").unwrap().compared_literals().is_empty());
}

/// Trees as the parser makes them: chains of two or more, one precedence each, literals without sign.
fn any_node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (0..=i64::MAX, 0..=9_u8).prop_map(|(mantissa, scale)| Node::Number(Decimal::new(mantissa, scale).unwrap())),
        "[^']{0,6}".prop_map(Node::Text),
        "[^\"]{0,6}".prop_map(Node::Text),
        Just(Node::This),
        "[a-z][a-z0-9_]{0,5}".prop_map(Node::Field),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        let comparison = prop::sample::select(vec![
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ]);
        let chain = |operations: Vec<Arithmetic>| {
            let rest = prop::collection::vec((prop::sample::select(operations), inner.clone()), 1..3);
            (inner.clone(), rest).prop_map(|(first, rest)| Node::Chain { first: Box::new(first), rest })
        };
        let call = prop::sample::select(Function::ALL.to_vec()).prop_flat_map({
            let inner = inner.clone();
            move |function| {
                let (min, max) = function.arguments();
                prop::collection::vec(inner.clone(), min..=max)
                    .prop_map(move |arguments| Node::Call { function, arguments })
            }
        });
        prop_oneof![
            inner.clone().prop_map(|node| Node::Negate(Box::new(node))),
            (comparison, inner.clone(), inner.clone()).prop_map(|(comparison, left, right)| Node::Compare {
                comparison,
                left: Box::new(left),
                right: Box::new(right)
            }),
            several().prop_map(Node::Or),
            several().prop_map(Node::And),
            chain(vec![Arithmetic::Add, Arithmetic::Subtract]),
            chain(vec![Arithmetic::Multiply, Arithmetic::Divide, Arithmetic::Remainder]),
            call,
        ]
    })
}

proptest! {
    #[test]
    fn prop_parse_never_panics(text in "\\PC{0,80}|[-+*=<>!.,()'\"${} a-z0-9_]{0,60}|(not\\(|\\(|-|1|\\)|and|or| |'|\\.|\\$\\{a\\}){0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            let printed = expression.to_string();
            if printed.len() <= EXPRESSION_BYTES_MAX {
                prop_assert_eq!(Expression::parse(&printed), Ok(expression));
            }
        }
    }

    #[test]
    fn prop_printed_expression_parses_to_itself(root in any_node()) {
        let expression = Expression { root };
        let printed = expression.to_string();
        prop_assume!(printed.len() <= EXPRESSION_BYTES_MAX);
        prop_assert_eq!(Expression::parse(&printed), Ok(expression), "{}", printed);
    }

    #[test]
    fn prop_evaluation_always_has_an_outcome(root in any_node()) {
        let answers = answers();
        let expression = Expression { root };
        let scope = Scope { this: None, answers: &answers, today: None };
        // Same answers, same outcome; and an empty text is never an outcome.
        let outcome = expression.evaluate(&scope);
        prop_assert_ne!(&outcome, &Operand::Text(String::new()));
        prop_assert_eq!(expression.evaluate(&scope), outcome);
    }
}
