//! What happens in the demo: who writes what, and which fields two people write without knowing of each other.
//!
//! The edits are data; how many conflicts they must make is computed from them, not written beside them.

use std::collections::BTreeMap;

/// What the two technicians' tablets do to the same record while neither sees the other.
#[derive(Debug)]
pub(crate) struct DoubleEdit {
    /// What tablet_a puts.
    pub(crate) a: &'static [(&'static str, &'static str)],
    /// What tablet_b puts.
    pub(crate) b: &'static [(&'static str, &'static str)],
}

/// One for each of the first records of the sample.
pub(crate) const DOUBLE_EDITS: [DoubleEdit; 8] = [
    // The same field, differently: two people's advice stays two pieces of advice.
    DoubleEdit { a: &[("advice", "疏除过密枝,不环剥")], b: &[("advice", "长放结果枝,暂不疏枝")] },
    DoubleEdit { a: &[("advice", "晚霜前灌水")], b: &[("advice", "晚霜前熏烟,备好柴草")] },
    DoubleEdit { a: &[("photo_count", "11")], b: &[("photo_count", "12")] },
    // Two fields of one record.
    DoubleEdit {
        a: &[("advice", "挂诱捕器后一周复查"), ("remark", "电话回访过")],
        b: &[("advice", "剪除折梢,集中深埋"), ("remark", "农户不在家")],
    },
    // Different fields: nothing to decide.
    DoubleEdit { a: &[("advice", "雨后及时排水")], b: &[("remark", "补拍照片两张")] },
    DoubleEdit { a: &[("solved", "部分解决")], b: &[("follow_up_on", "2025-12-31")] },
    DoubleEdit { a: &[("remark", "地块已核对")], b: &[("problem_category", "病虫害")] },
    // The same value twice is no conflict.
    DoubleEdit { a: &[("remark", "已复查,情况稳定")], b: &[("remark", "已复查,情况稳定")] },
];

impl DoubleEdit {
    /// Fields that both put, with different values.
    pub(crate) fn conflicts(&self) -> usize {
        let theirs: BTreeMap<&str, &str> = self.b.iter().copied().collect();
        self.a.iter().filter(|(path, value)| theirs.get(path).is_some_and(|other| other != value)).count()
    }
}

/// A visit made while offline, as answers that the form reads. `target` is a service target's document, where the tablet
/// knows one; else the farm's name is written down.
pub(crate) fn new_visit(person: &str, today: &str, content: &str, target: Option<&str>) -> Vec<(&'static str, String)> {
    let who = match target {
        Some(document) => ("target_id", document.to_owned()),
        None => ("target_name", "样例新果园".to_owned()),
    };
    let mut answers = vec![who];
    answers.extend(
        [
            ("service_mode", "现场"),
            ("activity_date", today),
            ("staff_id", person),
            ("town_code", "110117105"),
            ("village_code", "110117105211"),
            ("crop_id", "大桃"),
            ("content", content),
            ("photo_count", "0"),
        ]
        .map(|(name, text)| (name, text.to_owned())),
    );
    answers
}

#[cfg(test)]
mod tests {
    use qianmo_forms::{Context, Date, FormSet, Mode, Values, validate};

    use super::*;

    #[test]
    fn conflicts_are_the_fields_that_both_wrote_differently() {
        let found: Vec<usize> = DOUBLE_EDITS.iter().map(DoubleEdit::conflicts).collect();
        assert_eq!(found, [1, 1, 1, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn form_takes_every_edit_and_every_new_visit() {
        let forms = FormSet::built_in().unwrap();
        let form = forms.get("visit").unwrap();
        for (path, text) in DOUBLE_EDITS.iter().flat_map(|edit| edit.a.iter().chain(edit.b)) {
            assert!(!form.field(path).unwrap().parse_input(text).unwrap().is_null(), "{path} {text}");
        }
        for target in [None, Some("00112233445566778899aabbccddeeff")] {
            let visit = new_visit("P01", "2026-06-18", "查看套袋情况,梨小零星发生,约定复查", target);
            let values: Values = visit
                .iter()
                .map(|(name, text)| ((*name).to_owned(), form.field(name).unwrap().parse_input(text).unwrap()))
                .collect();
            let verdict = validate(form, &values, &Context { mode: Mode::Submit, today: Date::new(2026, 6, 18) });
            assert!(verdict.is_ok(), "{:?}", verdict.errors);
        }
    }
}
