//! The gate: honest branching histories of the shipped forms, one change of which is forged in what it says.
//!
//! What passes must do no harm: the library applies, saves, loads and reads it in any order of arrival with the same
//! heads and values, the record reads the same whatever came first, and people can go on: edit, settle what is in
//! conflict, and pass the gate with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use automerge::{Automerge, Change};
use qianmo_forms::{Field, FieldType, Form, FormSet};
use qianmo_protocol::change::{ActorId, RawChange, Scalar};
use qianmo_protocol::gate::{Gate, JudgeError, Place, judge_content};
use qianmo_protocol::ids::{ChangeHash, Code, LogbookId};
use qianmo_protocol::record::{
    Document, DocumentError, FieldEdit, FieldPath, Origin, REMOVED, RecordRoot, Repeats, Resolution, RowKey, create,
    edit, resolve,
};
use qianmo_protocol::time::UnixMillis;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::script::Script;
use crate::forge::{Forged, Row, footer};

const LOGBOOK: LogbookId = LogbookId([0x4c; 16]);
/// People who write in a history.
const WRITERS: usize = 4;
/// Histories of each form.
const SHAPES: u8 = 32;
/// Changes of a history beside its first.
const STEPS: usize = 12;

/// An honest history, the first change first, each change after those it depends on.
struct History {
    changes: Vec<RawChange>,
    paths: Vec<FieldPath>,
    repeats: Vec<String>,
}

thread_local! {
    static FORMS: Vec<Form> = FormSet::built_in().unwrap().iter().cloned().collect();
    static HISTORIES: RefCell<BTreeMap<(usize, u8), Rc<History>>> = const { RefCell::new(BTreeMap::new()) };
}

fn history(form: usize, shape: u8) -> Rc<History> {
    let known = HISTORIES.with_borrow(|known| known.get(&(form, shape)).cloned());
    known.unwrap_or_else(|| {
        let new = Rc::new(FORMS.with(|forms| grown(&forms[form], u64::from(shape) + 1)));
        HISTORIES.with_borrow_mut(|known| known.insert((form, shape), Rc::clone(&new)));
        new
    })
}

fn origin(writer: usize, clock: usize) -> Origin {
    let person = Code::new(&format!("P{writer:02}")).unwrap();
    let time = UnixMillis(1_750_000_000_000 + i64::try_from(clock).unwrap());
    Origin { actor: ActorId([u8::try_from(writer + 1).unwrap(); 16]), person, time }
}

fn value(rng: &mut ChaCha8Rng, field: &Field) -> Scalar {
    if rng.random_range(0..12) == 0 {
        return Scalar::Null;
    }
    match &field.field_type {
        FieldType::Boolean => Scalar::Bool(rng.random_range(0..2) == 0),
        FieldType::Integer { .. } => Scalar::Int(rng.random_range(-3..1_000)),
        FieldType::Choice(list) | FieldType::Choices(list) => {
            let ids: Vec<&str> = list.iter().map(|choice| choice.id.as_str()).collect();
            Scalar::Text(ids[rng.random_range(0..ids.len())].to_owned())
        }
        FieldType::Reference(_) => Scalar::Bytes(vec![rng.random_range(0..5); 16]),
        FieldType::LongText { .. } => Scalar::Text("桃园行间生草长势良好。".repeat(rng.random_range(1..4))),
        FieldType::Text { .. }
        | FieldType::Decimal { .. }
        | FieldType::Latitude
        | FieldType::Longitude
        | FieldType::Accuracy
        | FieldType::Date
        | FieldType::Time
        | FieldType::References(_) => Scalar::Text(format!("2025-06-{:02}", rng.random_range(1..29))),
    }
}

fn cells(rng: &mut ChaCha8Rng, fields: &[Field]) -> BTreeMap<String, Scalar> {
    fields.iter().map(|field| (field.name.clone(), value(rng, field))).collect()
}

/// Several people write, meet now and then, and settle what they find.
fn grown(form: &Form, seed: u64) -> History {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let root = RecordRoot {
        form: Code::new(form.id()).unwrap(),
        form_version: form.version(),
        station: Some(Code::new("ST01").unwrap()),
        logbook: LOGBOOK,
        author: Code::new("P00").unwrap(),
        created_at: UnixMillis(1_750_000_000_000),
    };
    let mut repeats = Repeats::new();
    for repeat in form.repeats() {
        let rows = (0..rng.random_range(0..2u8)).map(|row| (RowKey([row; 8]), cells(&mut rng, repeat.fields())));
        repeats.insert(repeat.name.clone(), rows.collect());
    }
    let first = create(&origin(0, 0), &root, &cells(&mut rng, form.fields()), &repeats).unwrap().change;
    let mut all = vec![first.clone()];
    let mut writers = vec![Document::from_changes([first]).unwrap(); WRITERS];
    for step in 1..=STEPS {
        let writer = rng.random_range(0..WRITERS);
        if rng.random_range(0..3) == 0 {
            let met: Vec<RawChange> = writers[rng.random_range(0..WRITERS)].changes().cloned().collect();
            met.iter().for_each(|change| writers[writer].add(change).unwrap());
        }
        let document = &writers[writer];
        let settled = rng.random_range(0..3) == 0 && !document.conflicts().is_empty();
        let change = if settled {
            Some(settle(document, &origin(writer, step)))
        } else {
            let edits = edits(&mut rng, form, document);
            edit(document, &document.heads(), &origin(writer, step), &edits).unwrap().map(|authored| authored.change)
        };
        if let Some(change) = change {
            writers[writer].add(&change).unwrap();
            all.push(change);
        }
    }
    let changes: Vec<RawChange> = Document::from_changes(all).unwrap().changes().cloned().collect();
    let fields = form.fields().iter().map(|field| FieldPath::Field(field.name.clone()));
    History {
        changes,
        paths: fields.collect(),
        repeats: form.repeats().iter().map(|repeat| repeat.name.clone()).collect(),
    }
}

fn edits(rng: &mut ChaCha8Rng, form: &Form, document: &Document) -> Vec<FieldEdit> {
    let mut edits = BTreeMap::new();
    for _ in 0..rng.random_range(1..4) {
        let field = &form.fields()[rng.random_range(0..form.fields().len().min(5))];
        let path = FieldPath::Field(field.name.clone());
        edits.insert(path.clone(), FieldEdit::Set(path, value(rng, field)));
    }
    let mut edits: Vec<FieldEdit> = edits.into_values().collect();
    let Some(repeat) = form.repeats().get(rng.random_range(0..form.repeats().len().max(1))) else { return edits };
    let view = document.view();
    let rows: Vec<RowKey> = view.repeats.get(&repeat.name).into_iter().flat_map(|rows| rows.keys().copied()).collect();
    match rows.get(rng.random_range(0..rows.len().max(1))) {
        Some(row) if rng.random_range(0..3) == 0 => {
            edits.push(FieldEdit::RemoveRow { repeat: repeat.name.clone(), row: *row });
        }
        Some(row) if rng.random_range(0..2) == 0 => {
            let field = &repeat.fields()[0];
            let path = FieldPath::Row { repeat: repeat.name.clone(), row: *row, name: field.name.clone() };
            edits.push(FieldEdit::Set(path, value(rng, field)));
        }
        Some(_) | None => {
            let row = RowKey(rng.random());
            let cells = cells(rng, repeat.fields());
            edits.push(FieldEdit::AddRow { repeat: repeat.name.clone(), row, cells });
        }
    }
    edits
}

/// Settles the first conflict by its first candidate.
fn settle(document: &Document, origin: &Origin) -> RawChange {
    let conflict = &document.conflicts()[0];
    let keep = conflict.candidates[0].value.clone();
    let resolution = Resolution { path: conflict.path.clone(), keep };
    resolve(document, &document.heads(), origin, &[resolution]).unwrap().change
}

/// Form, shape of the history, which change is forged, and how.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let form = script.below(FORMS.with(Vec::len));
    let history = history(form, script.byte() % SHAPES);
    let at = script.below(history.changes.len());
    let known = &history.changes[..at];
    let honest = &history.changes[at];
    let Some(change) = (match script.below(4) {
        0 => damaged(honest, &history, script),
        _ => Some(forged(honest, &history, script)),
    }) else {
        return;
    };
    let doc = match at {
        0 => change.doc_id_if_root().unwrap_or(qianmo_protocol::ids::DocId([1; 16])),
        _ => history.changes[0].doc_id_if_root().unwrap(),
    };
    let place = Place { logbook: LOGBOOK, doc };
    let mut gate = Gate::for_document(place, known.iter().cloned()).unwrap();
    let verdict = gate.judge(&change);
    match verdict {
        Ok(_) if known.contains(&change) => {}
        Ok(_) => {
            assert_eq!(judge_content(&change, known, &place), verdict, "judged anew, another verdict");
            does_no_harm(&history, known, &change, &mut gate);
        }
        Err(JudgeError::Content(failure)) => assert!(failure.code() > 0 && !failure.to_string().is_empty()),
        Err(JudgeError::Waiting { missing }) => assert!(known.iter().all(|change| change.hash() != missing)),
        Err(JudgeError::Closure(error)) => panic!("an honest history makes no document: {error}"),
    }
}

/// The bytes of an honest change, some of them others.
fn damaged(honest: &RawChange, history: &History, mut script: Script<'_>) -> Option<RawChange> {
    let mut content = honest.content().to_vec();
    for _ in 0..=script.below(4) {
        let at = usize::from(script.u16()) % content.len();
        match script.below(5) {
            0 => content[at] ^= 1 << script.below(8),
            1 => content[at] = script.byte(),
            2 => content.insert(at, script.byte()),
            3 if content.len() > 1 => drop(content.remove(at)),
            _ => {
                let other = script.pick(&history.changes).content();
                let from = usize::from(script.u16()) % other.len();
                let length = script.below(9).min(other.len() - from).min(content.len() - at);
                content[at..at + length].copy_from_slice(&other[from..from + length]);
            }
        }
    }
    RawChange::from_content(&content).ok()
}

/// What an honest change says, some of it otherwise.
fn forged(honest: &RawChange, history: &History, mut script: Script<'_>) -> RawChange {
    let mut forged = Forged::from(honest);
    let before = forged.clone();
    for _ in 0..=script.below(4) {
        let number = u64::from(script.byte());
        match script.below(20) {
            0 => forged.seq = *script.pick(&[0, 1, 2, forged.seq.wrapping_add(1), u64::MAX]),
            1 => {
                forged.start_op =
                    *script.pick(&[0, 1, forged.start_op + 1, forged.start_op + 1_000, u64::from(u32::MAX), 1 << 31]);
            }
            2 => forged.actor = [u8::try_from(number).unwrap(); 16],
            3 => drop(forged.deps.pop()),
            4 => forged.deps.push(*script.pick(&[script_hash(history, number), ChangeHash([9; 32])])),
            5 => forged.deps.sort_by_key(|hash| hash.0),
            6 => forged.footer = if number % 2 == 0 { footer("P09") } else { Vec::new() },
            7 => forged.message = (*script.pick(&["", "resolve 1\n", "hello"])).to_owned(),
            8 => {
                forged.message =
                    history.changes.iter().rev().find_map(|change| change.head().message.clone()).unwrap_or_default()
            }
            9 => forged.others.push([u8::try_from(number).unwrap(); 16]),
            10 => forged.others.sort_unstable(),
            _ => row(&mut forged, history, &mut script),
        }
    }
    RawChange::from_content(&forged.content()).unwrap_or_else(|_| {
        let content = before.content();
        RawChange::from_content(&content).unwrap()
    })
}

fn script_hash(history: &History, number: u64) -> ChangeHash {
    history.changes[usize::try_from(number).unwrap() % history.changes.len()].hash()
}

/// One row of the columns: added, taken away, doubled or changed.
fn row(forged: &mut Forged, history: &History, script: &mut Script<'_>) {
    let objects: Vec<Option<(u64, u64)>> = forged.rows.iter().map(|row| row.object).chain([None]).collect();
    let count = forged.rows.len();
    match script.below(4) {
        0 => {
            let object = *script.pick(&objects);
            let key = name(history, script);
            let row = if script.below(3) == 0 { Row::map(object, &key) } else { Row::put(object, &key, "甲", &[]) };
            forged.rows.insert(script.below(count + 1), row);
            return;
        }
        1 if count > 0 => drop(forged.rows.remove(script.below(count))),
        2 if count > 1 => forged.rows.swap(script.below(count), script.below(count)),
        _ => {}
    }
    let count = forged.rows.len();
    if count == 0 {
        return;
    }
    let counter = forged.start_op;
    let row = &mut forged.rows[script.below(count)];
    match script.below(10) {
        0 => row.object = *script.pick(&objects),
        1 => row.key = name(history, script),
        2 => row.insert = !row.insert,
        3 => row.action = *script.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 1 << 40]),
        4 => row.preds.clear(),
        5 => row.preds.push((u64::from(script.byte() % 6), u64::from(script.byte()) + 1)),
        6 => row.preds.push((0, counter + u64::from(script.byte()))),
        7 => (row.kind, row.value) = value_of(script),
        8 => drop(row.preds.pop()),
        _ => row.object = Some((u64::from(script.byte() % 6), u64::from(script.byte()))),
    }
}

fn value_of(script: &mut Script<'_>) -> (u64, Vec<u8>) {
    let bytes = script.bytes().to_vec();
    match script.below(8) {
        0 => (0, Vec::new()),
        1 => (1, Vec::new()),
        2 => (2, Vec::new()),
        3 => (4, crate::forge::ileb(script.u64().cast_signed())),
        4 => (3, crate::forge::uleb(script.u64())),
        5 => (7, bytes),
        6 => (u64::from(script.byte() % 16), bytes),
        _ => (6, bytes),
    }
}

fn name(history: &History, script: &mut Script<'_>) -> String {
    let own = match script.pick(&history.paths) {
        FieldPath::Field(name) | FieldPath::Row { name, .. } => name.clone(),
    };
    let repeat = history.repeats.first().cloned().unwrap_or_else(|| "r".to_owned());
    let fixed = ["d", "r", "k", REMOVED, "00112233445566aa", "0000000000000000", "新", ""];
    match script.below(4) {
        0 => own,
        1 => repeat,
        2 => (*script.pick(&fixed)).to_owned(),
        _ => script.text(),
    }
}

fn library(changes: &[&RawChange]) -> Automerge {
    let mut doc = Automerge::new();
    doc.apply_changes(changes.iter().map(|change| Change::try_from(change.bytes()).unwrap())).unwrap();
    doc
}

/// With everything else that is honest beside it, in any order of arrival; and people go on.
fn does_no_harm(history: &History, known: &[RawChange], passed: &RawChange, gate: &mut Gate) {
    // Beside another change of the same actor and number it waits: the trace of a copied device, not of this change alone.
    if let Err(error) = gate.admit(passed) {
        assert!(matches!(error, DocumentError::ActorTwice { .. }), "passed, and not admitted: {error}");
        return;
    }
    let beside: Vec<&RawChange> =
        if known.is_empty() { Vec::new() } else { history.changes[known.len()..].iter().collect() };
    let mut all: Vec<&RawChange> = known.iter().chain([passed]).collect();
    // An honest change that has the forged one's actor and number cannot be in the same document.
    all.extend(beside.into_iter().filter(|change| !is_other_branch(history, known, passed, change)));
    let one = library(&all);
    let backwards: Vec<&RawChange> = all.iter().rev().copied().collect();
    let two = library(&backwards);
    let mut one_by_one = Automerge::new();
    for change in &all {
        one_by_one.apply_changes([Change::try_from(change.bytes()).unwrap()]).unwrap();
    }
    let loaded = Automerge::load(&one.save()).unwrap();
    for other in [&two, &one_by_one, &loaded] {
        assert_eq!(one.get_heads(), other.get_heads(), "another order, other heads");
        assert_eq!(one.hydrate(None), other.hydrate(None), "another order, other values");
    }
    let document = Document::from_changes(all.iter().copied().cloned()).unwrap();
    let again = Document::from_changes(backwards.into_iter().cloned()).unwrap();
    assert_eq!((document.view(), document.conflicts()), (again.view(), again.conflicts()));
    let mut heads: Vec<[u8; 32]> = one.get_heads().iter().map(|head| head.0).collect();
    heads.sort_unstable();
    assert_eq!(heads, document.heads().iter().map(|head| head.0).collect::<Vec<_>>());
    goes_on(history, document, &all);
}

/// Whether a change is, or follows, another change of the forged one's actor that the forged one does not know.
fn is_other_branch(history: &History, known: &[RawChange], passed: &RawChange, change: &RawChange) -> bool {
    let head = passed.head();
    let later = &history.changes[known.len()..];
    if change.head().actor == head.actor && change.head().seq >= head.seq {
        return true;
    }
    let parents = later.iter().filter(|other| change.head().deps.contains(&other.hash()));
    parents.into_iter().any(|parent| is_other_branch(history, known, passed, parent))
}

/// An honest edit, and an honest settling if there is something to settle.
fn goes_on(history: &History, mut document: Document, all: &[&RawChange]) {
    let place = Place { logbook: LOGBOOK, doc: document.id() };
    let mut changes: Vec<RawChange> = all.iter().copied().cloned().collect();
    let later = origin(40, 99);
    let path = history.paths[0].clone();
    let edits = [FieldEdit::Set(path, Scalar::Text("后来的人写的".to_owned()))];
    let edited = edit(&document, &document.heads(), &later, &edits).unwrap();
    if let Some(authored) = edited {
        judge_content(&authored.change, &changes, &place).unwrap();
        document.add(&authored.change).unwrap();
        changes.push(authored.change);
    }
    if !document.conflicts().is_empty() {
        let settled = settle(&document, &origin(41, 100));
        judge_content(&settled, &changes, &place).unwrap();
        let before = document.conflicts().len();
        document.add(&settled).unwrap();
        changes.push(settled);
        assert!(document.conflicts().len() < before, "settled, and still in conflict");
    }
    let every: Vec<&RawChange> = changes.iter().collect();
    let whole = library(&every);
    assert_eq!(whole.get_heads().len(), document.heads().len());
    Automerge::load(&whole.save()).unwrap();
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let forms = u8::try_from(FORMS.with(Vec::len)).unwrap();
    let mut seeds = Vec::new();
    for form in 0..forms {
        for at in [0, 3, 9] {
            // Nothing is forged: what is honest passes.
            seeds.push(vec![form, form, at, 1, 0, 0, 5]);
            // Every way of forging, spread over the forms.
            for kind in (0..11).filter(|kind| (form + kind) % 4 == 0) {
                seeds.push(vec![form, kind, at, 1, 0, 3, kind, 1, 2, 3]);
            }
            for change in (0..10).filter(|change| (form + change) % 4 == 0) {
                seeds.push(vec![form, change, at, 1, 0, 3, 11, 3, 1, change, 1, 2, 3]);
            }
            seeds.push(vec![form, at, at, 0, 1, 40, 0, 1, 7, 90, 0, 3, 200]);
        }
    }
    seeds
}
