//! Values that several tests need.

use std::collections::BTreeMap;

use qianmo_client_core::{
    Candidate, ConflictKind, Delivery, FieldConflict, FieldPath, FieldValue, HistoryEntry, RecordRow, RecordView,
    ReviewAct, ReviewStatus, ReviewView, StoreFailure, codes,
};

/// 2025-06-18 09:30 in Shanghai.
pub(crate) const MORNING_MS: i64 = 1_750_210_200_000;

pub(crate) fn store_failure(detail: &str) -> StoreFailure {
    StoreFailure { detail: detail.to_owned() }
}

pub(crate) fn visit_row() -> RecordRow {
    let fields = [
        ("activity_date", FieldValue::from("2025-06-18")),
        ("service_mode", FieldValue::from("onsite")),
        ("target_id", FieldValue::from("T017")),
        ("area_seen_mu", FieldValue::from("3.5")),
        ("content", FieldValue::from("查看套袋情况\n梨小零星")),
        ("satisfaction", FieldValue::from(5)),
    ];
    RecordRow {
        id: "1a2b3c4d5e6f708192a3b4c5d6e7f809".parse().unwrap(),
        version: "A".repeat(43).parse().unwrap(),
        form: "visit".to_owned(),
        form_version: 1,
        station: Some("ST03".to_owned()),
        logbook: "ST03/2025-06".to_owned(),
        author: "P01".to_owned(),
        created_at_ms: MORNING_MS,
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        review: ReviewStatus::Returned,
        changed_after_approval: false,
        conflicts: 1,
        delivery: Delivery::Waiting,
    }
}

pub(crate) fn visit_view() -> RecordView {
    let row = visit_row();
    let candidate = |change: &str, value: &str, person: &str, minutes: i64| Candidate {
        change: change.to_owned(),
        value: FieldValue::from(value),
        person: Some(person.to_owned()),
        recorded_at_ms: MORNING_MS + minutes * 60_000,
    };
    let conflict = FieldConflict {
        path: FieldPath::new("area_seen_mu"),
        kind: ConflictKind::Concurrent,
        version: row.version.clone(),
        candidates: vec![candidate("c1", "3.5", "P01", 5), candidate("c2", "5", "P02", 6)],
    };
    let history = HistoryEntry {
        change: "c1".to_owned(),
        person: Some("P01".to_owned()),
        recorded_at_ms: MORNING_MS + 300_000,
        device: None,
        edits: vec![("area_seen_mu".to_owned(), Some(FieldValue::from("3")), FieldValue::from("3.5"))],
        resolved: Vec::new(),
    };
    let review = ReviewView {
        id: "e1".to_owned(),
        act: ReviewAct::Return,
        person: "P09".to_owned(),
        recorded_at_ms: MORNING_MS + 600_000,
        reasons: vec!["vague".to_owned()],
        note: "内容笼统".to_owned(),
        field_notes: BTreeMap::from([("content".to_owned(), "写明虫情".to_owned())]),
        counts: true,
        imported: false,
    };
    RecordView {
        row,
        conflicts: vec![conflict],
        history: vec![history],
        reviews: vec![review],
        held: vec![codes::explain(262)],
        held_here: Vec::new(),
        unshown: 0,
    }
}
