//! The rules of names and values that writer and gate share.

use crate::change::Scalar;
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::record::REMOVED;

/// True if a name may be a key: one to `KEY_BYTES_MAX` bytes without control characters.
pub(crate) fn name_is_allowed(name: &str) -> bool {
    !name.is_empty() && name.len() <= KEY_BYTES_MAX && !name.chars().any(char::is_control)
}

/// True if a value is within its limit.
pub(crate) const fn value_is_allowed(value: &Scalar) -> bool {
    value.len() <= VALUE_BYTES_MAX
}

/// True if a cell may hold a value: the removal mark is yes or no.
pub(crate) fn cell_is_allowed(name: &str, value: &Scalar) -> bool {
    name != REMOVED || matches!(value, Scalar::Bool(_))
}
