//! What is different between two versions of a record, value by value.

use std::collections::{BTreeMap, BTreeSet};

use super::{FieldChange, FieldPath, REMOVED, RecordView};
use crate::change::Scalar;

/// The values of a version by path; a row that is there has a removal mark, too.
fn values(view: &RecordView) -> BTreeMap<FieldPath, Scalar> {
    let fields = view.fields.iter().map(|(name, value)| (FieldPath::Field(name.clone()), value.clone()));
    let mut values: BTreeMap<FieldPath, Scalar> = fields.collect();
    for (repeat, rows) in &view.repeats {
        for (row, cells) in rows {
            let path = |name: &str| FieldPath::Row { repeat: repeat.clone(), row: *row, name: name.to_owned() };
            if cells.removed {
                values.insert(path(REMOVED), Scalar::Bool(true));
            }
            values.extend(cells.cells.iter().map(|(name, value)| (path(name), value.clone())));
        }
    }
    values
}

impl RecordView {
    /// What became of the values of an earlier version, ascending by path. A value that was put and cleared again is no
    /// difference; one that is gone became null.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Vec<FieldChange> {
        let (before, after) = (values(earlier), values(self));
        let paths: BTreeSet<&FieldPath> = before.keys().chain(after.keys()).collect();
        let nothing = Scalar::Null;
        let told = paths.into_iter().filter_map(|path| {
            let (was, is) = (before.get(path).unwrap_or(&nothing), after.get(path).unwrap_or(&nothing));
            (was != is).then(|| FieldChange {
                path: path.clone(),
                before: (*was != nothing).then(|| was.clone()),
                after: is.clone(),
            })
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Code, LogbookId};
    use crate::record::{RecordRoot, RowKey, RowView};
    use crate::time::UnixMillis;

    fn view(fields: &[(&str, Scalar)], rows: &[(RowKey, bool, &str)]) -> RecordView {
        let row = |(key, removed, pest): &(RowKey, bool, &str)| {
            let cells = BTreeMap::from([("pest".to_owned(), Scalar::Text((*pest).to_owned()))]);
            (*key, RowView { removed: *removed, cells })
        };
        RecordView {
            root: RecordRoot {
                form: Code::new("visit").unwrap(),
                form_version: 1,
                station: None,
                logbook: LogbookId([1; 16]),
                author: Code::new("P01").unwrap(),
                created_at: UnixMillis(0),
            },
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            repeats: BTreeMap::from([("pests".to_owned(), rows.iter().map(row).collect())]),
        }
    }

    #[test]
    fn difference_names_every_value_that_is_another_and_no_other() {
        let key = |digit: u8| RowKey([digit; 8]);
        let text = |text: &str| Scalar::Text(text.to_owned());
        let earlier = view(
            &[("advice", text("疏果")), ("area", Scalar::Int(3)), ("gone", text("x")), ("empty", Scalar::Null)],
            &[(key(1), false, "P1"), (key(2), false, "P2")],
        );
        let later = view(
            &[("advice", text("疏果后套袋")), ("area", Scalar::Int(3)), ("gone", Scalar::Null), ("remark", text("新"))],
            &[(key(1), true, "P1"), (key(2), false, "P3"), (key(3), false, "P4")],
        );
        let row = |digit: u8, name: &str| FieldPath::Row {
            repeat: "pests".to_owned(),
            row: key(digit),
            name: name.to_owned(),
        };
        let field = |name: &str| FieldPath::Field(name.to_owned());
        let change = |path: FieldPath, before: Option<Scalar>, after: Scalar| FieldChange { path, before, after };
        assert_eq!(
            later.since(&earlier),
            [
                change(field("advice"), Some(text("疏果")), text("疏果后套袋")),
                change(field("gone"), Some(text("x")), Scalar::Null),
                change(field("remark"), None, text("新")),
                change(row(1, REMOVED), None, Scalar::Bool(true)),
                change(row(2, "pest"), Some(text("P2")), text("P3")),
                change(row(3, "pest"), None, text("P4")),
            ]
        );
        assert!(later.since(&later).is_empty());
        assert_eq!(earlier.since(&later).len(), 6, "the way back is as long");
    }
}
