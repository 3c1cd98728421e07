//! An exact decimal number.
//!
//! Mantissa and scale, always canonical (no trailing zero in the fraction, zero has scale 0), so that equal numbers are equal in memory, in text
//! and in a document. Areas and positions are compared and added as written; binary floating point would make 0.1 + 0.2 differ from 0.3.
//!
//! # Limits
//!
//! At most [`Decimal::SCALE_MAX`] decimals and a 64-bit mantissa. Arithmetic is done in 128 bits and is `None` when the result does not fit.

use core::{cmp::Ordering, fmt, str::FromStr};

/// An exact decimal number: `mantissa / 10^scale`, in canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    scale: u8,
}

/// Why a text is not a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with an optional sign and fraction.
    #[error("not a decimal number")]
    Syntax,
    /// More decimals than can be kept.
    #[error("{found} decimals, at most {max}")]
    TooPrecise {
        /// Decimals found, trailing zeros not counted.
        found: usize,
        /// Decimals that can be kept.
        max: u8,
    },
    /// Does not fit in 64 bits.
    #[error("number too large")]
    TooLarge,
}

impl Decimal {
    /// The most decimals a number keeps.
    pub const SCALE_MAX: u8 = 9;
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// `mantissa / 10^scale`; `None` if it needs more than [`Self::SCALE_MAX`] decimals.
    #[must_use]
    pub fn new(mantissa: i64, scale: u8) -> Option<Self> {
        let (reduced, decimals) = strip_zeros(i128::from(mantissa), u32::from(scale));
        let scale = u8::try_from(decimals).ok().filter(|scale| *scale <= Self::SCALE_MAX)?;
        Some(Self { mantissa: i64::try_from(reduced).ok()?, scale })
    }

    /// The digits without the point.
    #[must_use]
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// How many decimals it has; trailing zeros are never counted.
    #[must_use]
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// The whole number it is, if it is one.
    #[must_use]
    pub const fn to_i64(self) -> Option<i64> {
        if self.scale == 0 { Some(self.mantissa) } else { None }
    }

    /// The sum, if it fits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(other);
        Self::rounded(left.checked_add(right)?, scale)
    }

    /// The difference, if it fits.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(other);
        Self::rounded(left.checked_sub(right)?, scale)
    }

    /// The product, rounded half away from zero to [`Self::SCALE_MAX`] decimals, if it fits.
    #[must_use]
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let product = i128::from(self.mantissa).checked_mul(i128::from(other.mantissa))?;
        Self::rounded(product, u32::from(self.scale) + u32::from(other.scale))
    }

    /// The quotient, rounded half away from zero to [`Self::SCALE_MAX`] decimals; `None` for division by zero or if it does not fit.
    #[must_use]
    pub fn checked_div(self, other: Self) -> Option<Self> {
        let numerator =
            i128::from(self.mantissa).checked_mul(pow10(u32::from(other.scale) + u32::from(Self::SCALE_MAX))?)?;
        let denominator = i128::from(other.mantissa).checked_mul(pow10(u32::from(self.scale))?)?;
        Self::rounded(divide_rounded(numerator, denominator)?, u32::from(Self::SCALE_MAX))
    }

    /// The remainder, with the sign of the dividend; `None` for division by zero.
    #[must_use]
    pub fn checked_rem(self, other: Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(other);
        Self::rounded(left.checked_rem(right)?, scale)
    }

    /// The number with its sign turned, if it fits.
    #[must_use]
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_neg()?, scale: self.scale })
    }

    /// Both mantissas at the larger scale. A 64-bit mantissa times 10^9 fits in 128 bits.
    fn aligned(self, other: Self) -> (i128, i128, u32) {
        let scale = self.scale.max(other.scale);
        let lift = |number: Self| {
            i128::from(number.mantissa).saturating_mul(pow10(u32::from(scale - number.scale)).unwrap_or(1))
        };
        (lift(self), lift(other), u32::from(scale))
    }

    fn rounded(mantissa: i128, scale: u32) -> Option<Self> {
        let surplus = scale.saturating_sub(u32::from(Self::SCALE_MAX));
        let (mantissa, scale) = strip_zeros(divide_rounded(mantissa, pow10(surplus)?)?, scale - surplus);
        Some(Self { mantissa: i64::try_from(mantissa).ok()?, scale: u8::try_from(scale).ok()? })
    }
}

fn pow10(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

fn strip_zeros(mut mantissa: i128, mut scale: u32) -> (i128, u32) {
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    (mantissa, scale)
}

/// `numerator / denominator`, rounded half away from zero.
fn divide_rounded(numerator: i128, denominator: i128) -> Option<i128> {
    let quotient = numerator.checked_div(denominator)?;
    let remainder = numerator.checked_rem(denominator)?.unsigned_abs();
    // `remainder >= denominator - remainder` is `2 * remainder >= denominator` without the overflow.
    if remainder == 0 || remainder < denominator.unsigned_abs() - remainder {
        return Some(quotient);
    }
    quotient.checked_add(if (numerator < 0) == (denominator < 0) { 1 } else { -1 })
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self { mantissa: number, scale: 0 }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads digits with an optional sign and fraction: `12`, `-0.25`, `+3.50`. No exponent, no thousands separator, no bare point.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            Some(_) | None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction.trim_end_matches('0')),
            Some(_) => return Err(DecimalError::Syntax),
            None => (digits, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(DecimalError::Syntax);
        }
        let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= Self::SCALE_MAX);
        let scale = scale.ok_or(DecimalError::TooPrecise { found: fraction.len(), max: Self::SCALE_MAX })?;
        let mut mantissa = 0_i128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa * 10 + i128::from(digit - b'0');
            if mantissa > i128::from(i64::MAX) + 1 {
                return Err(DecimalError::TooLarge);
            }
        }
        let mantissa =
            i64::try_from(if negative { -mantissa } else { mantissa }).map_err(|_| DecimalError::TooLarge)?;
        Self::new(mantissa, scale).ok_or(DecimalError::TooLarge)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mantissa < 0 {
            f.write_str("-")?;
        }
        let unit = 10_u64.pow(u32::from(self.scale));
        let digits = self.mantissa.unsigned_abs();
        if self.scale == 0 {
            return write!(f, "{digits}");
        }
        write!(f, "{}.{:0width$}", digits / unit, digits % unit, width = usize::from(self.scale))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right, _) = self.aligned(*other);
        left.cmp(&right)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn any_decimal() -> impl Strategy<Value = Decimal> {
        (any::<i64>(), 0..=Decimal::SCALE_MAX).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale).unwrap())
    }

    #[test]
    fn equal_numbers_are_one_text() {
        for (typed, canonical) in
            [("12.50", "12.5"), ("+0", "0"), ("-0.00", "0"), ("007.0", "7"), ("0.000000001", "0.000000001")]
        {
            assert_eq!(decimal(typed).to_string(), canonical);
        }
        assert_eq!(decimal("-9223372036854775808").to_string(), "-9223372036854775808");
    }

    #[test]
    fn what_is_not_a_decimal_is_refused_with_its_reason() {
        for text in ["", "-", ".", ".5", "5.", "1e3", "1,200", "--1", "1.2.3", "十", "１"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::Syntax), "{text}");
        }
        assert_eq!("0.0000000001".parse::<Decimal>(), Err(DecimalError::TooPrecise { found: 10, max: 9 }));
        assert_eq!("9223372036854775808".parse::<Decimal>(), Err(DecimalError::TooLarge));
        assert_eq!("9".repeat(4000).parse::<Decimal>(), Err(DecimalError::TooLarge));
    }

    #[test]
    fn arithmetic_is_exact_or_rounded_half_away_from_zero() {
        assert_eq!(decimal("0.1").checked_add(decimal("0.2")), Some(decimal("0.3")));
        assert_eq!(decimal("1").checked_div(decimal("3")), Some(decimal("0.333333333")));
        assert_eq!(decimal("-2").checked_div(decimal("3")), Some(decimal("-0.666666667")));
        assert_eq!(decimal("0.000000001").checked_mul(decimal("0.5")), Some(decimal("0.000000001")));
        assert_eq!(decimal("-7.5").checked_rem(decimal("2")), Some(decimal("-1.5")));
        assert_eq!(decimal("1").checked_div(Decimal::ZERO), None);
        assert_eq!(decimal("1").checked_rem(Decimal::ZERO), None);
        assert_eq!(Decimal::from(i64::MAX).checked_add(Decimal::from(1)), None);
        assert_eq!(Decimal::from(i64::MIN).checked_neg(), None);
    }

    proptest! {
        #[test]
        fn prop_printed_decimal_parses_to_itself(number in any_decimal()) {
            prop_assert_eq!(number.to_string().parse::<Decimal>(), Ok(number));
        }

        #[test]
        fn prop_order_agrees_with_difference(a in any_decimal(), b in any_decimal()) {
            if let Some(difference) = a.checked_sub(b) {
                prop_assert_eq!(a.cmp(&b), difference.cmp(&Decimal::ZERO));
            }
            prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
        }

        #[test]
        fn prop_arithmetic_never_panics(a in any_decimal(), b in any_decimal()) {
            let results = [a.checked_add(b), a.checked_sub(b), a.checked_mul(b), a.checked_div(b), a.checked_rem(b)];
            for result in results.into_iter().flatten() {
                prop_assert!(result.scale() <= Decimal::SCALE_MAX);
            }
        }

        #[test]
        fn prop_parse_never_panics(text in "\\PC*") {
            if let Ok(number) = text.parse::<Decimal>() {
                prop_assert_eq!(number.to_string().parse::<Decimal>(), Ok(number));
            }
        }
    }
}
