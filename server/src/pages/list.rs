//! The list of records: newest first, in pages, with filters that are links.

use std::sync::Arc;

use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use qianmo_forms::{Field, FieldType, Lang, ReferenceKind};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::ids::DocId;
use qianmo_protocol::record::FieldPath;

use super::queue::{Queue, in_order};
use super::saved::{self, Saved};
use super::sweep::doubtful;
use super::{Badge, Chrome, Done, PAGE_RECORDS, Words, address, badges, hinted};
use crate::projection::{
    Counts, Filter, ListCursor, Listed, Mark, Marks, Names, Order, Places, ProjectedRecord, QUERY_CHARS_MAX,
    STATE_WORDS, UNREADABLE, answered_day, state_label,
};
use crate::registry::SavedFilter;
use crate::web::{Refusal, Signed, Teller, View, WebState, minute};

/// Characters of a record's text in the list.
const SUMMARY_CHARS: usize = 90;
/// States whose chip is there even when no record is in them.
const STATES_ALWAYS: [&str; 3] = ["pending", "returned", "approved"];

/// What the read model answered.
pub(super) struct Found {
    pub(super) places: Places,
    pub(super) listed: Listed,
    pub(super) names: Arc<Names>,
    /// The filters of whoever is signed in.
    pub(super) kept: Option<Vec<SavedFilter>>,
}

impl Found {
    /// One page of a list.
    pub(super) async fn read(
        state: &WebState,
        filter: &Filter,
        after: Option<ListCursor>,
        signed: Option<&Signed>,
    ) -> Result<Self, Refusal> {
        let (wanted, names) = (filter.clone(), state.names().await?);
        let kept = match signed {
            Some(signed) => Some(saved::read(state, signed).await?),
            None => None,
        };
        let read = state.read(move |reader| {
            Ok(Self { names, kept, places: reader.places()?, listed: reader.list(&wanted, after, PAGE_RECORDS)? })
        });
        read.await
    }
}

/// The page.
#[derive(Template)]
#[template(path = "list.html")]
pub(super) struct ListView {
    chrome: Chrome,
    total: String,
    chips: Vec<Chip>,
    active: Vec<Chip>,
    selects: Vec<Select>,
    text: String,
    text_chars_max: usize,
    kept: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    title: String,
    action: &'static str,
    /// Whether this is the inbox.
    is_inbox: bool,
    /// Where those that raise no question are approved together, and how many there are.
    sweep: Option<(String, u64)>,
    /// The filters of whoever is signed in.
    saved: Option<Saved>,
    /// What was just done, and to which record.
    done: Option<Done>,
    is_filtered: bool,
    first: Option<String>,
    next: Option<String>,
}

/// A filter as a link.
struct Chip {
    text: String,
    count: Option<u64>,
    link: String,
    is_on: bool,
}

/// A filter with too many values for links.
struct Select {
    name: &'static str,
    label: &'static str,
    choices: Vec<Choice>,
}

struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

pub(super) struct Row {
    pub(super) link: String,
    pub(super) date: String,
    /// When it was written, where the date is another.
    pub(super) written: Option<String>,
    pub(super) form: String,
    /// Whom it is about.
    pub(super) target: Option<String>,
    pub(super) summary: String,
    pub(super) place: String,
    pub(super) month: Option<String>,
    pub(super) author: String,
    pub(super) badges: Vec<Badge>,
}

impl ListView {
    pub(super) fn new(
        state: &WebState,
        lang: Lang,
        filter: Filter,
        after: Option<ListCursor>,
        found: Found,
        signed: Option<&Signed>,
    ) -> Self {
        let Found { places, listed: Listed { counts, page }, names, kept: mine } = found;
        let chrome = Chrome::new(state, lang, &link(&filter, after.as_ref())).or(signed, &names);
        let words = chrome.words;
        let is_inbox = filter.order == Order::Oldest;
        let from = if is_inbox { Queue::query_of(&filter) } else { String::new() };
        let view = View::new(state, &names, signed);
        let at = |filter: &Filter, cursor: Option<&ListCursor>| address(&link(filter, cursor), lang);
        let chips = state_chips(&filter, &counts, lang);
        let waits = filter.state.as_deref() == Some("pending") && filter.marks == Marks::NONE;
        // What is looked at is what the page is called.
        let chosen = chips.iter().find(|chip| chip.is_on && is_inbox && !waits).map(|chip| chip.text.clone());
        let named = if is_inbox { words.inbox } else { words.records };
        Self {
            total: words.count(matching(&filter, &counts)),
            chips,
            active: active_chips(&view, &filter, lang),
            selects: selects(&view, &filter, places, lang),
            text: filter.text.clone().unwrap_or_default(),
            text_chars_max: QUERY_CHARS_MAX,
            kept: kept(&filter, lang),
            rows: page.records.iter().map(|record| row(&view, record, &from, lang)).collect(),
            title: chosen.unwrap_or_else(|| named.to_owned()),
            action: place(&filter),
            saved: mine.map(|mine| Saved::new(&chrome, &filter, mine, signed)),
            is_inbox,
            sweep: sweep(&filter, &counts, signed).map(|(link, count)| (address(&link, lang), count)),
            done: None,
            is_filtered: if is_inbox {
                !waits
                    || filter.text.is_some()
                    || filter.station.is_some()
                    || filter.month.is_some()
                    || filter.form.is_some()
            } else {
                filter != Filter::default()
            },
            first: after.map(|_| at(&filter, None)),
            next: page.next.map(|cursor| at(&filter, Some(&cursor))),
            chrome,
        }
    }
}

impl ListView {
    /// With a word on what was just done, and where it is.
    pub(super) fn with_done(mut self, done: Option<Done>) -> Self {
        self.done = done;
        self
    }
}

/// From the inbox, for whoever decides, when there are several.
fn sweep(filter: &Filter, counts: &Counts, signed: Option<&Signed>) -> Option<(String, u64)> {
    let is_of_what_waits = filter.state.as_deref() == Some("pending") && filter.marks == Marks::NONE;
    let is_asked = filter.order == Order::Oldest && is_of_what_waits && signed.is_some_and(Signed::may_approve);
    let count = counts.without("pending", doubtful());
    (is_asked && count > 1).then(|| (super::sweep::link(filter), count))
}

/// How many records a filter chooses, from the counts of its place.
fn matching(filter: &Filter, counts: &Counts) -> u64 {
    counts.of(filter.state.as_deref(), filter.marks)
}

/// The address of a list.
pub(super) fn link(filter: &Filter, cursor: Option<&ListCursor>) -> String {
    let query = query(filter, cursor);
    let path = place(filter);
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Where a list is: what waits longest comes first in the inbox only.
const fn place(filter: &Filter) -> &'static str {
    match filter.order {
        Order::Newest => "/",
        Order::Oldest => "/inbox",
    }
}

/// What is chosen, as an address says it. Every value but the text was judged when it was read: only that needs escaping.
pub(super) fn query(filter: &Filter, cursor: Option<&ListCursor>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let texts =
        [("station", &filter.station), ("month", &filter.month), ("form", &filter.form), ("state", &filter.state)];
    parts.extend(texts.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?))));
    let text = filter.text.as_ref().map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
    parts.extend(text.map(|text| format!("text={text}")));
    let marks = Mark::ALL.into_iter().filter(|mark| filter.marks.has(*mark));
    parts.extend(marks.map(|mark| format!("{}=true", mark.word())));
    parts.extend(cursor.map(|cursor| format!("cursor={}", cursor.encode())));
    parts.join("&")
}

/// The filter without what the row of chips chooses.
fn anywhere_in(filter: &Filter) -> Filter {
    Filter { state: None, marks: Marks::NONE, ..filter.clone() }
}

fn state_chips(filter: &Filter, counts: &Counts, lang: Lang) -> Vec<Chip> {
    let words = Words::of(lang);
    let plain = anywhere_in(filter);
    let chip = |text: &str, wanted: Filter| Chip {
        text: text.to_owned(),
        count: Some(matching(&wanted, counts)),
        link: address(&link(&wanted, None), lang),
        is_on: wanted == *filter,
    };
    let mut chips = match filter.order {
        Order::Newest => vec![chip(words.all, plain.clone())],
        // What waits is chosen by why it waits.
        Order::Oldest => Vec::new(),
    };
    for word in STATE_WORDS {
        let wanted = Filter { state: Some(word.to_owned()), ..plain.clone() };
        if matching(&wanted, counts) > 0 || STATES_ALWAYS.contains(&word) || wanted == *filter {
            let (zh, en) = state_label(word);
            chips.push(chip(if lang == Lang::Zh { zh } else { en }, wanted));
        }
    }
    for mark in Mark::ALL {
        let marked = Filter { marks: Marks::of(&[mark]), ..plain.clone() };
        let wanted = match filter.order {
            Order::Newest => marked,
            Order::Oldest => in_order(marked),
        };
        // What is rare has a chip when there is some.
        let is_rare = matches!(mark, Mark::Resubmitted | Mark::Unanswered);
        if !is_rare || matching(&wanted, counts) > 0 || wanted == *filter {
            chips.push(chip(words.mark(mark), wanted));
        }
    }
    chips
}

/// The place that was chosen, each part with a link that takes it away.
fn active_chips(view: &View<'_>, filter: &Filter, lang: Lang) -> Vec<Chip> {
    let form = filter.form.as_ref().map(|form| view.teller(form, 0, None).form_label(form, lang));
    let station = filter.station.as_ref().map(|station| view.plain().station(station));
    let parts = [
        (station, Filter { station: None, ..filter.clone() }),
        (filter.month.clone(), Filter { month: None, ..filter.clone() }),
        (form, Filter { form: None, ..filter.clone() }),
        (filter.text.as_ref().map(|text| format!("“{text}”")), Filter { text: None, ..filter.clone() }),
    ];
    let chip = |(text, rest): (Option<String>, Filter)| {
        Some(Chip { text: text?, count: None, link: address(&link(&rest, None), lang), is_on: true })
    };
    parts.into_iter().filter_map(chip).collect()
}

fn selects(view: &View<'_>, filter: &Filter, places: Places, lang: Lang) -> Vec<Select> {
    let words = Words::of(lang);
    let select = |name, label, values: Vec<String>, chosen: &Option<String>, text: &dyn Fn(&str) -> String| {
        let choice = |value: String| Choice { text: text(&value), is_chosen: chosen.as_ref() == Some(&value), value };
        Select { name, label, choices: values.into_iter().map(choice).collect() }
    };
    let plain = |text: &str| text.to_owned();
    let form = |code: &str| view.teller(code, 0, None).form_label(code, lang);
    let station = |code: &str| {
        let name = view.names().of(ReferenceKind::Station, code);
        name.map_or_else(|| code.to_owned(), |name| format!("{code} {name}"))
    };
    vec![
        select("station", words.station, places.stations, &filter.station, &station),
        select("month", words.month, places.months, &filter.month, &plain),
        select("form", words.form, places.forms, &filter.form, &form),
    ]
}

/// What the form of filters must keep.
fn kept(filter: &Filter, lang: Lang) -> Vec<(&'static str, String)> {
    let mut kept = Vec::new();
    kept.extend(filter.state.clone().map(|state| ("state", state)));
    let marks = Mark::ALL.into_iter().filter(|mark| filter.marks.has(*mark));
    kept.extend(marks.map(|mark| (mark.word(), "true".to_owned())));
    if lang == Lang::En {
        kept.push(("lang", "en".to_owned()));
    }
    kept
}

/// A record in a list. Its address goes on with `from`, which says what list that is.
pub(super) fn row(view: &View<'_>, record: &ProjectedRecord, from: &str, lang: Lang) -> Row {
    let words = Words::of(lang);
    let teller = view.teller(&record.form, record.form_version, record.station.as_deref());
    // Who did it; who brought a ledger in wrote the record, but was not there.
    let by = record.fields.get("staff_id").and_then(serde_json::Value::as_str).unwrap_or(&record.author);
    let is_unreadable = record.state == UNREADABLE;
    let day = teller.form().and_then(|form| answered_day(form, record));
    Row {
        link: address(&format!("/records/{}{from}", record.id), lang),
        written: day.is_some().then(|| minute(record.created_at)),
        date: match day {
            Some(day) => day.to_owned(),
            None if is_unreadable => String::new(),
            None => minute(record.created_at),
        },
        form: teller.form_label(&record.form, lang),
        target: target(&teller, record, lang),
        summary: summary(&teller, record, lang).unwrap_or_else(|| words.no_text.to_owned()),
        place: record.station.as_deref().map(|code| teller.station(code)).unwrap_or_default(),
        month: record.month.clone(),
        author: teller.person(by),
        badges: marked(record, words),
    }
}

/// Its state, and what else is so of it.
fn marked(record: &ProjectedRecord, words: &Words) -> Vec<Badge> {
    let mut badges = badges(&record.state, record.changed_after_approval, record.conflicts.len(), words);
    for (mark, is_so) in [(Mark::Resubmitted, record.is_resubmitted), (Mark::Unanswered, record.is_unanswered)] {
        badges.extend(is_so.then(|| Badge { class: "info", text: words.mark(mark).to_owned() }));
    }
    badges.extend(hinted(record.flags, words));
    badges
}

/// The service target that a record names, as whoever looks may know it.
fn target(teller: &Teller<'_>, record: &ProjectedRecord, lang: Lang) -> Option<String> {
    let is_target = |field: &&Field| field.field_type == FieldType::Reference(ReferenceKind::Target);
    let field = teller.form()?.fields().iter().find(is_target)?;
    let answer = record.fields.get(&field.name)?.as_str()?;
    let told = teller.text(&FieldPath::Field(field.name.clone()), &Scalar::Text(answer.to_owned()), lang);
    // A document that no directory tells says nothing to a reader.
    Some(told).filter(|told| DocId::from_hex(told).is_none())
}

/// The first long text of the form that is answered; else its first text.
fn summary(teller: &Teller<'_>, record: &ProjectedRecord, lang: Lang) -> Option<String> {
    let form = teller.form()?;
    let is_long = |field_type: &FieldType| matches!(field_type, FieldType::LongText { .. });
    let is_short = |field_type: &FieldType| matches!(field_type, FieldType::Text { .. });
    let told = |wanted: &dyn Fn(&FieldType) -> bool| {
        form.fields().iter().filter(|field| wanted(&field.field_type) && !field.personal).find_map(|field| {
            let text = record.fields.get(&field.name)?.as_str()?;
            Some(teller.text(&FieldPath::Field(field.name.clone()), &Scalar::Text(text.to_owned()), lang))
        })
    };
    let text = told(&is_long).or_else(|| told(&is_short))?;
    let mut short: String = text.chars().take(SUMMARY_CHARS).collect();
    if text.chars().count() > SUMMARY_CHARS {
        short.push('…');
    }
    Some(short)
}
