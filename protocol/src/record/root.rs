//! First changes: the tree that a root change builds, and the record it describes.
//!
//! A root change makes every container of its document and puts each key once. The tree is read in one pass over the
//! operations, without recursion, so that no nesting can exhaust the stack.

use std::collections::BTreeMap;

use crate::change::{ObjectId, Op, OpAction, Scalar};
use crate::ids::{Code, LogbookId};
use crate::limits::DEPTH_MAX;
use crate::record::{RecordRoot, RowKey, shape};
use crate::time::UnixMillis;

/// The value of `k` in a record.
pub(crate) const KIND_RECORD: &str = "record";

/// Keys of the root map of a record; `k` and `l` are those of every document.
pub(crate) mod key {
    pub(crate) const KIND: &str = "k";
    pub(crate) const FORM: &str = "f";
    pub(crate) const FORM_VERSION: &str = "v";
    pub(crate) const STATION: &str = "s";
    pub(crate) const LOGBOOK: &str = "l";
    pub(crate) const AUTHOR: &str = "a";
    pub(crate) const CREATED_AT: &str = "t";
    pub(crate) const FIELDS: &str = "d";
    pub(crate) const REPEATS: &str = "r";
}

/// Why a first change does not describe a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// An operation on a container that this change did not make before it.
    #[error("operation {op} acts on a container that the first change has not made")]
    UnknownContainer {
        /// Which operation, from 0.
        op: usize,
    },
    /// A key written twice, or an operation that replaces another.
    #[error("operation {op} writes a key a second time")]
    WrittenTwice {
        /// Which operation, from 0.
        op: usize,
    },
    /// Containers nested too deep.
    #[error("containers are nested {have} deep, at most {max} are allowed")]
    Depth {
        /// The depth reached.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// A kind of document this version does not know.
    #[error("the document's kind is unknown")]
    Kind,
    /// A key that must be there and is not, or holds the wrong type or a wrong value.
    #[error("the root key '{key}' is missing or holds a wrong value")]
    Key {
        /// Which.
        key: &'static str,
    },
    /// A root key that the kind does not have.
    #[error("the root map has a key that its kind does not have")]
    UnknownKey,
    /// A name that is empty, too long or has control characters, or a wrong row key.
    #[error("a name under '{key}' is empty, too long, has control characters or is not a row key")]
    Name {
        /// Under which root key.
        key: &'static str,
    },
    /// A container where a scalar belongs, or the reverse.
    #[error("'{key}' holds a container where a value belongs, or the reverse")]
    Shape {
        /// Under which root key.
        key: &'static str,
    },
}

/// What stands under a key of the tree.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leaf<'a> {
    Value(&'a Scalar),
    /// The number of the map.
    Map(usize),
}

/// The maps that a first change builds; map 0 is the root.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    maps: Vec<BTreeMap<&'a str, Leaf<'a>>>,
}

impl<'a> Tree<'a> {
    /// Reads the operations of a first change.
    pub(crate) fn read(ops: &'a [Op]) -> Result<Self, RootError> {
        let mut maps: Vec<BTreeMap<&str, Leaf<'_>>> = vec![BTreeMap::new()];
        let mut depths = vec![1usize];
        let mut numbers = BTreeMap::from([(ObjectId::Root, 0usize)]);
        for (index, op) in ops.iter().enumerate() {
            let unknown = RootError::UnknownContainer { op: index };
            let at = *numbers.get(&op.object).ok_or_else(|| unknown.clone())?;
            let depth = depths.get(at).copied().unwrap_or(DEPTH_MAX) + 1;
            let leaf = match &op.action {
                OpAction::Put(value) => Leaf::Value(value),
                OpAction::MakeMap if depth > DEPTH_MAX => {
                    return Err(RootError::Depth { have: depth, max: DEPTH_MAX });
                }
                OpAction::MakeMap => {
                    let number = maps.len();
                    maps.push(BTreeMap::new());
                    depths.push(depth);
                    numbers.insert(ObjectId::Made(op.id), number);
                    Leaf::Map(number)
                }
            };
            let map = maps.get_mut(at).ok_or(unknown)?;
            if !op.predecessors.is_empty() || map.insert(op.key.as_str(), leaf).is_some() {
                return Err(RootError::WrittenTwice { op: index });
            }
        }
        Ok(Self { maps })
    }

    pub(crate) fn leaf(&self, key: &str) -> Option<Leaf<'a>> {
        self.maps.first()?.get(key).copied()
    }

    pub(crate) fn map(&self, number: usize) -> impl Iterator<Item = (&'a str, Leaf<'a>)> + '_ {
        self.maps.get(number).into_iter().flatten().map(|(key, leaf)| (*key, *leaf))
    }

    pub(crate) fn only_keys(&self, allowed: &[&str]) -> Result<(), RootError> {
        if self.map(0).all(|(key, _)| allowed.contains(&key)) { Ok(()) } else { Err(RootError::UnknownKey) }
    }

    pub(crate) fn text(&self, key: &'static str) -> Result<&'a str, RootError> {
        match self.leaf(key) {
            Some(Leaf::Value(Scalar::Text(text))) => Ok(text),
            Some(Leaf::Value(_) | Leaf::Map(_)) | None => Err(RootError::Key { key }),
        }
    }

    pub(crate) fn bytes(&self, key: &'static str) -> Result<&'a [u8], RootError> {
        match self.leaf(key) {
            Some(Leaf::Value(Scalar::Bytes(bytes))) => Ok(bytes),
            Some(Leaf::Value(_) | Leaf::Map(_)) | None => Err(RootError::Key { key }),
        }
    }

    pub(crate) fn int(&self, key: &'static str) -> Result<i64, RootError> {
        match self.leaf(key) {
            Some(Leaf::Value(Scalar::Int(value))) => Ok(*value),
            Some(Leaf::Value(_) | Leaf::Map(_)) | None => Err(RootError::Key { key }),
        }
    }

    pub(crate) fn code(&self, key: &'static str) -> Result<Code, RootError> {
        Code::new(self.text(key)?).map_err(|_| RootError::Key { key })
    }

    pub(crate) fn logbook(&self) -> Result<LogbookId, RootError> {
        LogbookId::from_slice(self.bytes(key::LOGBOOK)?).ok_or(RootError::Key { key: key::LOGBOOK })
    }

    /// A map of allowed names to scalars.
    pub(crate) fn scalars(&self, number: usize, key: &'static str) -> Result<BTreeMap<&'a str, &'a Scalar>, RootError> {
        let mut out = BTreeMap::new();
        for (name, leaf) in self.map(number) {
            if !shape::name_is_allowed(name) {
                return Err(RootError::Name { key });
            }
            let Leaf::Value(value) = leaf else { return Err(RootError::Shape { key }) };
            out.insert(name, value);
        }
        Ok(out)
    }

    fn root_map(&self, key: &'static str) -> Result<usize, RootError> {
        match self.leaf(key) {
            Some(Leaf::Map(number)) => Ok(number),
            Some(Leaf::Value(_)) | None => Err(RootError::Key { key }),
        }
    }
}

impl RecordRoot {
    /// Reads a record's first change and checks its whole shape.
    pub(crate) fn from_tree(tree: &Tree<'_>) -> Result<Self, RootError> {
        use key::{AUTHOR, CREATED_AT, FIELDS, FORM, FORM_VERSION, KIND, LOGBOOK, REPEATS, STATION};
        tree.only_keys(&[KIND, FORM, FORM_VERSION, STATION, LOGBOOK, AUTHOR, CREATED_AT, FIELDS, REPEATS])?;
        let station = match tree.leaf(STATION) {
            Some(Leaf::Value(Scalar::Null)) => None,
            Some(_) | None => Some(tree.code(STATION)?),
        };
        tree.scalars(tree.root_map(FIELDS)?, FIELDS)?;
        for (repeat, leaf) in tree.map(tree.root_map(REPEATS)?) {
            let Leaf::Map(rows) = leaf else { return Err(RootError::Shape { key: REPEATS }) };
            if !shape::name_is_allowed(repeat) {
                return Err(RootError::Name { key: REPEATS });
            }
            for (row, leaf) in tree.map(rows) {
                let Leaf::Map(cells) = leaf else { return Err(RootError::Shape { key: REPEATS }) };
                if RowKey::parse(row).is_none() {
                    return Err(RootError::Name { key: REPEATS });
                }
                let cells = tree.scalars(cells, REPEATS)?;
                if !cells.iter().all(|(name, value)| shape::cell_is_allowed(name, value)) {
                    return Err(RootError::Shape { key: REPEATS });
                }
            }
        }
        Ok(Self {
            form: tree.code(FORM)?,
            form_version: u32::try_from(tree.int(FORM_VERSION)?).map_err(|_| RootError::Key { key: FORM_VERSION })?,
            station,
            logbook: tree.logbook()?,
            author: tree.code(AUTHOR)?,
            created_at: UnixMillis(tree.int(CREATED_AT)?),
        })
    }
}
