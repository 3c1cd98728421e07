//! A record's history as sentences: who did what, when, on which device, and what stood there before.

use qianmo_forms::Lang;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::ids::DocId;
use qianmo_protocol::record::FieldChange;
use qianmo_replica::replica::HistoryView;

use super::{Words, short};
use crate::projection::HIDDEN;
use crate::web::{Full, Teller, minute};

/// What one change did.
pub(super) struct Chapter {
    pub(super) person: String,
    pub(super) device: String,
    pub(super) time: String,
    /// What it did, in one sentence.
    pub(super) did: String,
    /// The first change: many answers at once, folded away.
    pub(super) is_first: bool,
    pub(super) edits: Vec<Edit>,
    /// Whether it came after what somebody looked at.
    pub(super) is_new: bool,
}

/// One value that was put.
pub(super) struct Edit {
    pub(super) label: String,
    /// What stood there; `None` when nothing did.
    pub(super) before: Option<String>,
    pub(super) after: String,
    pub(super) is_hidden: bool,
}

/// The chapters, newest first.
pub(super) fn chapters(teller: &Teller<'_>, lang: Lang, full: &Full) -> Vec<Chapter> {
    full.detail.history.iter().rev().map(|view| chapter(teller, lang, full, view)).collect()
}

fn chapter(teller: &Teller<'_>, lang: Lang, full: &Full, view: &HistoryView) -> Chapter {
    let words = Words::of(lang);
    let story = &view.story;
    let is_first = DocId::from_root(&story.hash) == full.detail.row.id;
    let edits: Vec<Edit> = story.edits.iter().filter_map(|edit| told(teller, lang, edit)).collect();
    let did = if is_first {
        words.created_with(edits.len())
    } else if story.is_resolve() {
        let labels: Vec<String> = story.resolved.iter().map(|path| teller.label(path, lang)).collect();
        words.settled(&labels)
    } else {
        words.edited(edits.len())
    };
    let device = view.device.map(|device| {
        let id = short(&device);
        full.devices.get(&device).map_or_else(|| id.clone(), |label| format!("{label} ({id})"))
    });
    Chapter {
        person: match &story.person {
            Some(person) => teller.person(person.as_str()),
            None => words.unknown_person.to_owned(),
        },
        device: device.unwrap_or_default(),
        time: minute(story.time.0),
        did,
        is_first,
        edits,
        is_new: false,
    }
}

/// `None` for an answer that was empty and stays so.
pub(super) fn told(teller: &Teller<'_>, lang: Lang, edit: &FieldChange) -> Option<Edit> {
    let words = Words::of(lang);
    let text = |value: &Scalar| {
        if edit.path.is_removal() {
            return if *value == Scalar::Bool(true) { words.row_removed.to_owned() } else { String::new() };
        }
        teller.text_with_unit(&edit.path, value, lang)
    };
    let before = edit.before.as_ref().map(text).filter(|text| !text.is_empty());
    let after = text(&edit.after);
    if before.is_none() && after.is_empty() {
        return None;
    }
    Some(Edit {
        label: teller.label(&edit.path, lang),
        is_hidden: after == HIDDEN,
        after: if after.is_empty() { words.empty_value.to_owned() } else { after },
        before,
    })
}
