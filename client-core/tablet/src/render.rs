//! What people and programs read: tables, records, states, JSON and CSV. Pure: values in, text out.

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod words;
