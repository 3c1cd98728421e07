//! The contract of [`Index`].

use super::{ConformanceFailure, Promise};
use crate::index::{
    ApplyError, BATCH_OPERATIONS_MAX, Batch, Index, KEY_BYTES_MAX, KeyRange, PAGE_ENTRIES_MAX, PageError,
    VALUE_BYTES_MAX,
};
use crate::pack_log::{CommitNumber, FrameHash, FramePointer};

/// Holds an index to its contract. The factory gives an empty index each time.
///
/// # Errors
///
/// The first broken promise.
pub fn check_index(mut new: impl FnMut() -> Box<dyn Index>) -> Result<(), ConformanceFailure> {
    values_are_what_was_last_put(&mut *new())?;
    refused_batch_changes_nothing(&mut *new())?;
    scans_are_ordered_and_paged(&mut *new())?;
    page_limits_are_checked(&mut *new())?;
    absorbed_moves_with_its_batch(&mut *new())?;
    clear_forgets_everything(&mut *new())
}

fn pointer(commit: u64) -> FramePointer {
    FramePointer {
        segment: 1,
        generation: 0,
        offset: commit * 100,
        commit: CommitNumber(commit),
        hash: FrameHash([0x11; 16]),
    }
}

fn values_are_what_was_last_put(index: &mut dyn Index) -> Result<(), ConformanceFailure> {
    let promise = Promise("a key has the value last put, until deleted");
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.put(b"b", b"2");
    batch.put(b"a", b"3");
    batch.put(b"empty", b"");
    batch.put(vec![1; KEY_BYTES_MAX], vec![2; VALUE_BYTES_MAX]);
    promise.works(index.apply(batch))?;
    promise.same(promise.works(index.get(b"a"))?, Some(b"3".to_vec()))?;
    promise.same(promise.works(index.get(b"empty"))?, Some(Vec::new()))?;
    promise.same(promise.works(index.get(&[1; KEY_BYTES_MAX]))?, Some(vec![2; VALUE_BYTES_MAX]))?;
    promise.same(promise.works(index.get(b"c"))?, None)?;
    let mut batch = Batch::new();
    batch.delete(b"a");
    batch.delete(b"never there");
    promise.works(index.apply(batch))?;
    promise.works(index.flush())?;
    promise.same(promise.works(index.get(b"a"))?, None)?;
    promise.same(promise.works(index.get(b"b"))?, Some(b"2".to_vec()))
}

fn refused_batch_changes_nothing(index: &mut dyn Index) -> Result<(), ConformanceFailure> {
    let promise = Promise("a batch over a limit is refused whole");
    let refused = |key: Vec<u8>, value: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(b"ok", b"1");
        batch.put(key, value);
        batch.absorb(pointer(1));
        batch
    };
    let result = index.apply(refused(b"k".to_vec(), vec![0; VALUE_BYTES_MAX + 1]));
    promise.holds(matches!(result, Err(ApplyError::ValueTooLarge { have }) if have == VALUE_BYTES_MAX + 1), "value")?;
    let result = index.apply(refused(vec![1; KEY_BYTES_MAX + 1], Vec::new()));
    promise.holds(matches!(result, Err(ApplyError::KeyTooLong { have }) if have == KEY_BYTES_MAX + 1), "key")?;
    for key in [Vec::new(), vec![0], b"\0absorbed".to_vec()] {
        promise.holds(matches!(index.apply(refused(key, Vec::new())), Err(ApplyError::KeyReserved)), "reserved")?;
    }
    let mut large = Batch::new();
    for number in 0..=BATCH_OPERATIONS_MAX {
        large.delete(format!("key{number}"));
    }
    promise.holds(matches!(index.apply(large), Err(ApplyError::BatchTooLarge { .. })), "batch")?;
    promise.same(promise.works(index.get(b"ok"))?, None)?;
    promise.same(promise.works(index.absorbed())?, None)
}

fn scans_are_ordered_and_paged(index: &mut dyn Index) -> Result<(), ConformanceFailure> {
    let promise = Promise("pages of a scan are ordered, complete and within the range");
    let mut batch = Batch::new();
    for number in (0..250_u8).rev() {
        batch.put([b'p', number], [number]);
    }
    batch.put([0xFF, 0xFF], b"last");
    batch.put(b"o", b"before");
    batch.put(b"q", b"after");
    batch.absorb(pointer(9));
    promise.works(index.apply(batch))?;
    for limit in [1, 7, 250, 251] {
        let mut seen = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = promise.works(index.scan(&KeyRange::prefix(b"p"), after.as_deref(), limit))?;
            promise.holds(page.entries.len() <= limit, format_args!("{} of {limit}", page.entries.len()))?;
            seen.extend(page.entries.into_iter().filter_map(|(key, value)| Some((*key.get(1)?, *value.first()?))));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        promise.same(seen, (0..250).map(|number| (number, number)).collect::<Vec<_>>())?;
    }
    let all = promise.works(index.scan(&KeyRange::all(), None, PAGE_ENTRIES_MAX))?;
    promise.same(all.entries.len(), 253)?;
    promise.same(all.entries.last().map(|(key, _)| key.clone()), Some(vec![0xFF, 0xFF]))?;
    let some = promise.works(index.scan(&KeyRange::between([b'p', 3], [b'p', 6]), Some(&[b'p', 3]), 10))?;
    promise.same(some.entries.iter().map(|(key, _)| key.clone()).collect(), vec![vec![b'p', 4], vec![b'p', 5]])?;
    let early = promise.works(index.scan(&KeyRange::prefix(b"q"), Some(b"a"), 10))?;
    promise.same(early.entries, vec![(b"q".to_vec(), b"after".to_vec())])?;
    let none = promise.works(index.scan(&KeyRange::prefix(b"o"), Some(b"z"), 10))?;
    promise.same(none.entries, Vec::new())?;
    let reserved = promise.works(index.scan(&KeyRange::prefix([0]), None, 10))?;
    promise.same(reserved.entries, Vec::new())
}

fn page_limits_are_checked(index: &mut dyn Index) -> Result<(), ConformanceFailure> {
    let promise = Promise("a page limit of 0 or over the maximum is refused");
    for limit in [0, PAGE_ENTRIES_MAX + 1, usize::MAX] {
        let result = index.scan(&KeyRange::all(), None, limit);
        promise.holds(matches!(result, Err(PageError::LimitOutOfRange { asked }) if asked == limit), limit)?;
    }
    Ok(())
}

fn absorbed_moves_with_its_batch(index: &mut dyn Index) -> Result<(), ConformanceFailure> {
    let promise = Promise("the absorbed position is that of the last batch that stated one");
    promise.same(promise.works(index.absorbed())?, None)?;
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.absorb(pointer(5));
    promise.works(index.apply(batch))?;
    promise.same(promise.works(index.absorbed())?, Some(pointer(5)))?;
    let mut batch = Batch::new();
    batch.put(b"a", b"2");
    promise.works(index.apply(batch))?;
    promise.same(promise.works(index.absorbed())?, Some(pointer(5)))?;
    let mut batch = Batch::new();
    batch.absorb(pointer(8));
    promise.works(index.apply(batch))?;
    promise.same(promise.works(index.absorbed())?, Some(pointer(8)))
}

fn clear_forgets_everything(index: &mut dyn Index) -> Result<(), ConformanceFailure> {
    let promise = Promise("a cleared index is empty and works");
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.absorb(pointer(5));
    promise.works(index.apply(batch.clone()))?;
    promise.works(index.clear())?;
    promise.same(promise.works(index.get(b"a"))?, None)?;
    promise.same(promise.works(index.absorbed())?, None)?;
    promise.works(index.apply(batch))?;
    promise.same(promise.works(index.get(b"a"))?, Some(b"1".to_vec()))
}
