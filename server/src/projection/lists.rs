//! Lists: the first records that a filter chooses, and how many there are of each sort.
//!
//! Every choice but a text is answered from an index that holds all a filter can ask, so the wide rows are read only for the
//! records of the page. A text is looked up once: one pass over what it finds counts the sorts and keeps the page.

use std::collections::BinaryHeap;

use rusqlite::{Connection, OptionalExtension as _, params};

use qianmo_protocol::ids::DocId;

use super::marks::Marks;
use super::query::{Filter, ListCursor, ListPage, Order, PAGE_MAX, Reader};
use super::row::{self, COLUMNS};
use super::tally::{self, Counts};
use super::{ProjectedRecord, ProjectionError};

/// Every index names all that a filter asks, after what it sorts by.
pub(super) const SCHEMA: &str = "
CREATE INDEX record_newest ON record (gone, registry, created_at DESC, id DESC, state, station, month, form, marks);
CREATE INDEX record_station ON record (gone, station, created_at DESC, id DESC, registry, state, month, form, marks);
CREATE INDEX record_form ON record (gone, form, created_at DESC, id DESC, state, station, month, marks);
CREATE INDEX record_state ON record (gone, state, created_at DESC, id DESC, registry, station, month, form, marks);
CREATE INDEX record_brief ON record (number, gone, registry, created_at, id, state, station, month, form, marks);
";

/// A page of a list, and how many records there are of each sort in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Over the stations, months, forms and text of the filter.
    pub counts: Counts,
    /// The records.
    pub page: ListPage,
}

/// Where a place in a list is, for sorting.
type Place = (i64, [u8; 16]);

/// Where a place stands in an order: what comes first is smallest.
const fn rank((created_at, id): Place, order: Order) -> (i64, u128) {
    let id = u128::from_be_bytes(id);
    match order {
        Order::Oldest => (created_at, id),
        Order::Newest => (!created_at, !id),
    }
}

/// The records of a page, by number, and the place of the last where there are more.
struct Chosen {
    numbers: Vec<i64>,
    next: Option<ListCursor>,
}

impl Chosen {
    /// Of at most one more than the page takes, the first one first.
    fn of(mut places: Vec<(Place, i64)>, limit: usize) -> Self {
        let has_more = places.len() > limit;
        places.truncate(limit);
        let last = places.last().map(|((created_at, id), _)| ListCursor { created_at: *created_at, id: DocId(*id) });
        Self { numbers: places.into_iter().map(|(_, number)| number).collect(), next: last.filter(|_| has_more) }
    }
}

/// The index that leaves the least to look at.
const fn index_for(filter: &Filter) -> &'static str {
    if filter.station.is_some() {
        "record_station"
    } else if filter.form.is_some() {
        "record_form"
    } else if filter.state.is_some() {
        "record_state"
    } else {
        "record_newest"
    }
}

/// What a filter asks of a record but for its text, with `?3` to `?6`; the marks stand in it as numbers. Only what is asked stands in it, so that an index can
/// serve it.
fn asked(filter: &Filter, with_state: bool) -> String {
    let asked = [
        (filter.station.is_some(), "station = ?3"),
        (filter.month.is_some(), "month = ?4"),
        (filter.form.is_some(), "form = ?5"),
        (filter.form.is_none(), "registry = 0"),
        (with_state && filter.state.is_some(), "state = ?6"),
    ];
    let conditions = asked.iter().filter(|(is_asked, _)| *is_asked).map(|(_, condition)| (*condition).to_owned());
    let marks = filter.marks_asked().filter(|_| with_state);
    ["gone = 0".to_owned()].into_iter().chain(conditions).chain(marks).collect::<Vec<_>>().join(" AND ")
}

/// Every parameter is named once, so that the same values fit whatever is asked.
fn first_sql(index: &str, asked: &str, order: Order) -> String {
    let (comes_after, way) = match order {
        Order::Newest => ("<", "DESC"),
        Order::Oldest => (">", "ASC"),
    };
    format!(
        "WITH given AS (SELECT ?3, ?4, ?5, ?6) SELECT created_at, id, number FROM record INDEXED BY {index} \
         WHERE (created_at, id) {comes_after} (?1, ?2) AND {asked} ORDER BY created_at {way}, id {way} LIMIT ?7"
    )
}

/// The first records that a filter without a text chooses.
fn first(connection: &Connection, filter: &Filter, after: ListCursor, limit: usize) -> Result<Chosen, rusqlite::Error> {
    let (index, asked) = (index_for(filter), asked(filter, true));
    let mut statement = connection.prepare_cached(&first_sql(index, &asked, filter.order))?;
    let (station, month, form, state) = (&filter.station, &filter.month, &filter.form, &filter.state);
    let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let values = params![after.created_at, after.id.0, station, month, form, state, more];
    let read = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
    Ok(Chosen::of(statement.query_map(values, read)?.collect::<Result<_, _>>()?, limit))
}

/// The first records that a filter with a text chooses, and the counts of its place, in one pass over what the text finds.
fn searched(
    connection: &Connection,
    filter: &Filter,
    text: &str,
    after: ListCursor,
    limit: usize,
) -> Result<(Counts, Chosen), rusqlite::Error> {
    let mut statement = connection.prepare_cached(&format!(
        "WITH given AS (SELECT ?2, ?3, ?4, ?5, ?6) SELECT number, created_at, id, state, marks \
         FROM search CROSS JOIN record INDEXED BY record_brief ON number = search.rowid \
         WHERE search MATCH ?1 AND {}",
        asked(filter, false)
    ))?;
    let nothing = rusqlite::types::Null;
    let mut rows = statement.query(params![text, nothing, filter.station, filter.month, filter.form, nothing])?;
    let (mut counts, mut kept) = (Counts::default(), BinaryHeap::new());
    while let Some(row) = rows.next()? {
        let state = row.get_ref(3)?.as_str()?;
        let marks = Marks::from_bits(row.get(4)?);
        counts.add(state, marks, 1);
        let is_asked = filter.state.as_ref().is_none_or(|asked| asked == state)
            && marks.has_all(filter.marks)
            && marks.has_none(filter.without);
        let place: Place = (row.get(1)?, row.get(2)?);
        if is_asked && rank(place, filter.order) > rank((after.created_at, after.id.0), filter.order) {
            kept.push((rank(place, filter.order), place, row.get::<_, i64>(0)?));
            if kept.len() > limit + 1 {
                kept.pop();
            }
        }
    }
    let in_order = kept.into_sorted_vec().into_iter().map(|(_, place, number)| (place, number)).collect();
    Ok((counts, Chosen::of(in_order, limit)))
}

/// The records behind numbers, in their order.
pub(super) fn records_of(connection: &Connection, numbers: &[i64]) -> Result<Vec<ProjectedRecord>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM record WHERE number = ?1"))?;
    numbers.iter().map(|number| statement.query_row([number], row::read)).collect()
}

impl Reader {
    /// Records that are not gone, in the filter's order.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn first(&self, filter: &Filter, after: Option<ListCursor>, limit: usize) -> Result<ListPage, ProjectionError> {
        Ok(self.listed(filter, after, limit, false)?.page)
    }

    /// Counts over the stations, months, forms and text of a filter; what else it asks does not matter here.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn counts(&self, filter: &Filter) -> Result<Counts, ProjectionError> {
        let connection = self.lock();
        Ok(match filter.matching() {
            Some(text) => searched(&connection, filter, &text, ListCursor::start(filter.order), 0)?.0,
            None => tally::counts(&connection, filter)?,
        })
    }

    /// A page of records in the filter's order, with the counts of its place.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn list(&self, filter: &Filter, after: Option<ListCursor>, limit: usize) -> Result<Listed, ProjectionError> {
        self.listed(filter, after, limit, true)
    }

    /// The neighbours of a record in a list, before it and after it, whether or not it is in the list itself; none of one
    /// that is not known.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn around(&self, filter: &Filter, id: &DocId) -> Result<[Option<DocId>; 2], ProjectionError> {
        let Some(created_at) = self.created_at(id)? else { return Ok([None, None]) };
        let place = ListCursor { created_at, id: *id };
        let back = match filter.order {
            Order::Newest => Order::Oldest,
            Order::Oldest => Order::Newest,
        };
        let one = |filter: &Filter| -> Result<Option<DocId>, ProjectionError> {
            Ok(self.first(filter, Some(place), 1)?.records.first().map(|record| record.id))
        };
        Ok([one(&Filter { order: back, ..filter.clone() })?, one(filter)?])
    }

    fn created_at(&self, id: &DocId) -> Result<Option<i64>, ProjectionError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT created_at FROM record WHERE id = ?1")?;
        Ok(statement.query_row([id.0], |row| row.get(0)).optional()?)
    }

    /// Without counts where nobody asks for them and they cost something.
    fn listed(
        &self,
        filter: &Filter,
        after: Option<ListCursor>,
        limit: usize,
        with_counts: bool,
    ) -> Result<Listed, ProjectionError> {
        let connection = self.lock();
        // Counts and page are of one moment.
        let moment = connection.unchecked_transaction()?;
        let limit = limit.clamp(1, PAGE_MAX);
        let after = after.unwrap_or_else(|| ListCursor::start(filter.order));
        let (counts, chosen) = match filter.matching() {
            Some(text) => searched(&moment, filter, &text, after, limit)?,
            None => {
                let counts = if with_counts { tally::counts(&moment, filter)? } else { Counts::default() };
                (counts, first(&moment, filter, after, limit)?)
            }
        };
        let records = records_of(&moment, &chosen.numbers)?;
        Ok(Listed { counts, page: ListPage { records, next: chosen.next } })
    }
}

#[cfg(test)]
mod tests;
