//! Tokens of an expression.

use crate::{definition::NameRule, value::Decimal};

use super::{Comparison, ExpressionError, ExpressionErrorKind};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Number(Decimal),
    Text(String),
    Field(String),
    This,
    /// An operator word or a function name.
    Word(String),
    Open,
    Close,
    Comma,
    Plus,
    Minus,
    Star,
    Compare(Comparison),
}

impl TokenKind {
    /// How the token is quoted in a message.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
            Self::Field(name) => format!("${{{name}}}"),
            Self::This => ".".to_owned(),
            Self::Word(word) => word.clone(),
            Self::Open => "(".to_owned(),
            Self::Close => ")".to_owned(),
            Self::Comma => ",".to_owned(),
            Self::Plus => "+".to_owned(),
            Self::Minus => "-".to_owned(),
            Self::Star => "*".to_owned(),
            Self::Compare(comparison) => comparison.sign().to_owned(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) offset: usize,
    pub(super) kind: TokenKind,
}

/// Every token of a text whose length the caller has bounded.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let offset = text.len() - rest.len();
        let (kind, length) = token(rest, first).map_err(|kind| ExpressionError { offset, kind })?;
        tokens.push(Token { offset, kind });
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// The token a text begins with, and its length in bytes.
fn token(rest: &str, first: char) -> Result<(TokenKind, usize), ExpressionErrorKind> {
    let second = rest.chars().nth(1);
    Ok(match (first, second) {
        ('(', _) => (TokenKind::Open, 1),
        (')', _) => (TokenKind::Close, 1),
        (',', _) => (TokenKind::Comma, 1),
        ('+', _) => (TokenKind::Plus, 1),
        ('-', _) => (TokenKind::Minus, 1),
        ('*', _) => (TokenKind::Star, 1),
        ('.', _) => (TokenKind::This, 1),
        ('=', _) => (TokenKind::Compare(Comparison::Equal), 1),
        ('!', Some('=')) => (TokenKind::Compare(Comparison::NotEqual), 2),
        ('<', Some('=')) => (TokenKind::Compare(Comparison::LessOrEqual), 2),
        ('<', _) => (TokenKind::Compare(Comparison::Less), 1),
        ('>', Some('=')) => (TokenKind::Compare(Comparison::GreaterOrEqual), 2),
        ('>', _) => (TokenKind::Compare(Comparison::Greater), 1),
        ('\'' | '"', _) => {
            let body = rest.get(1..).unwrap_or_default();
            let end = body.find(first).ok_or(ExpressionErrorKind::UnclosedText(first))?;
            (TokenKind::Text(body.get(..end).unwrap_or_default().to_owned()), end + 2)
        }
        ('$', Some('{')) => {
            let body = rest.get(2..).unwrap_or_default();
            let end = body.find('}').ok_or(ExpressionErrorKind::UnclosedField)?;
            let name = body.get(..end).unwrap_or_default();
            if !NameRule::Field.accepts(name) {
                return Err(ExpressionErrorKind::BadFieldName(name.to_owned()));
            }
            (TokenKind::Field(name.to_owned()), end + 3)
        }
        ('0'..='9', _) => {
            let length = number_length(rest);
            let number = rest.get(..length).and_then(|digits| digits.parse().ok());
            (TokenKind::Number(number.ok_or(ExpressionErrorKind::NumberTooLarge)?), length)
        }
        ('a'..='z', _) => {
            let length =
                rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
            (TokenKind::Word(rest.get(..length).unwrap_or_default().to_owned()), length)
        }
        (other, _) => return Err(ExpressionErrorKind::UnexpectedCharacter(other)),
    })
}

/// Digits, and a fraction if a digit follows the point.
fn number_length(rest: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(rest);
    match rest.get(whole..).and_then(|after| after.strip_prefix('.')).map(digits) {
        Some(fraction) if fraction > 0 => whole + 1 + fraction,
        Some(_) | None => whole,
    }
}
