//! Complaints and suggestions (投诉建议): anybody may leave one, also without an account and without a name; coordinators and
//! administrators of the district read and answer them; whoever holds an entry's code sees the answer.
//!
//! Entries are facts of the hub's own store: durable before the code is shown, in every backup, and on no tablet. Of a code
//! only a digest is kept. Numbers of persons are masked before an entry is stored.
//!
//! # Limits
//!
//! [`ENTRIES_MAX`], [`TEXT_CHARS_MAX`], [`PER_HOUR_MAX`], [`PER_DAY_MAX`]: all senders together, for nobody can be told from another.
//!
//! # Failure
//!
//! [`ComplaintError`].

use qianmo_forms::personal;
use qianmo_protocol::ids::{PersonCode, digest32};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};
use rand::RngCore as _;

use crate::hub::{HubCore, HubError};

/// Most entries that are kept; for a new one, the oldest that was answered goes.
pub const ENTRIES_MAX: usize = 500;
/// Most letters of an entry, and of an answer.
pub const TEXT_CHARS_MAX: usize = 2_000;
/// Most entries that are taken in an hour.
pub const PER_HOUR_MAX: usize = 30;
/// Most entries that are taken in a day.
pub const PER_DAY_MAX: usize = 200;

const HOUR_MS: i64 = 3_600_000;
const INDEX_KEY: &[u8] = b"complaints";
const CODE_DOMAIN: &str = "qianmo complaint code v1";
const TEXT_BYTES_MAX: usize = 4 * TEXT_CHARS_MAX;
/// Random bytes of a code: sixteen letters, too many to be guessed.
const CODE_BYTES: usize = 10;
/// Letters of a code that stand together.
const CODE_GROUP: usize = 4;

/// What somebody sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComplaintKind {
    /// 投诉.
    Complaint,
    /// 建议.
    Suggestion,
}

/// The answer to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComplaintAnswer {
    /// What is answered.
    pub text: String,
    /// Who answered.
    pub by: PersonCode,
    /// When, by the hub's clock.
    pub at: UnixMillis,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Its number; numbers are never used again.
    pub number: u32,
    /// What it is.
    pub kind: ComplaintKind,
    /// When it came, by the hub's clock.
    pub sent: UnixMillis,
    /// What it says, with the numbers of persons masked.
    pub text: String,
    /// The answer, if there is one.
    pub answer: Option<ComplaintAnswer>,
}

/// Why an entry is not taken, or not answered.
#[derive(Debug, thiserror::Error)]
pub enum ComplaintError {
    /// Nothing is written.
    #[error("nothing is written")]
    Empty,
    /// It is too long.
    #[error("it has {have} letters, at most {TEXT_CHARS_MAX} are kept")]
    TooLong {
        /// Letters given.
        have: usize,
    },
    /// Too many came in a short time.
    #[error("too many came in a short time; try again later")]
    TooMany,
    /// Every place is taken by one that waits for its answer.
    #[error("{ENTRIES_MAX} entries wait for an answer; answer some first")]
    Full,
    /// There is none of this number.
    #[error("there is no entry {number}")]
    Unknown {
        /// The number.
        number: u32,
    },
    /// A later version wrote them.
    #[error("the entries were written by a later version; update the hub")]
    Unreadable(#[from] DecodeError),
    /// The store failed.
    #[error("the entry could not be stored")]
    Hub(#[from] HubError),
}

/// One line of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: u32,
    sent: UnixMillis,
    is_answered: bool,
    code: [u8; 32],
}

/// Which entries there are, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Index {
    next: u32,
    lines: Vec<Line>,
}

impl Wire for Index {
    fn write(&self, writer: &mut Writer) {
        writer.uleb(u64::from(self.next));
        writer.list(&self.lines, |writer, line| {
            writer.uleb(u64::from(line.number));
            writer.i64(line.sent.0);
            writer.u8(u8::from(line.is_answered));
            writer.raw(&line.code);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            next: reader.uleb32("next")?,
            lines: reader.list("entries", ENTRIES_MAX, |reader| {
                Ok(Line {
                    number: reader.uleb32("number")?,
                    sent: UnixMillis(reader.i64("sent")?),
                    is_answered: reader.flag("answered")?,
                    code: reader.array("code")?,
                })
            })?,
        })
    }
}

impl Wire for Complaint {
    fn write(&self, writer: &mut Writer) {
        writer.uleb(u64::from(self.number));
        writer.u8(match self.kind {
            ComplaintKind::Complaint => 1,
            ComplaintKind::Suggestion => 2,
        });
        writer.i64(self.sent.0);
        writer.bytes(self.text.as_bytes());
        writer.option(self.answer.as_ref(), |writer, answer| {
            writer.bytes(answer.text.as_bytes());
            writer.code(&answer.by);
            writer.i64(answer.at.0);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = reader.uleb32("number")?;
        let offset = reader.offset();
        let kind = match reader.u8("kind")? {
            1 => ComplaintKind::Complaint,
            2 => ComplaintKind::Suggestion,
            have => return Err(DecodeError::Unknown { field: "kind", offset, have: u64::from(have) }),
        };
        Ok(Self {
            number,
            kind,
            sent: UnixMillis(reader.i64("sent")?),
            text: reader.text("text", TEXT_BYTES_MAX)?.to_owned(),
            answer: reader.option("answer", |reader| {
                Ok(ComplaintAnswer {
                    text: reader.text("answer", TEXT_BYTES_MAX)?.to_owned(),
                    by: reader.code("by")?,
                    at: UnixMillis(reader.i64("at")?),
                })
            })?,
        })
    }
}

fn entry_key(number: u32) -> Vec<u8> {
    [b"complaint ".as_slice(), &number.to_be_bytes()].concat()
}

/// A code as it was typed: capital letters or not, with or without what stands between the groups.
fn digest_of(code: &str) -> [u8; 32] {
    let typed: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    digest32(CODE_DOMAIN, &[typed.to_ascii_uppercase().as_bytes()])
}

/// What is kept of a text: without control characters, bounded, with the numbers of persons masked.
fn kept(text: &str) -> Result<String, ComplaintError> {
    let text: String = text
        .replace("\r\n", "\n")
        .chars()
        .filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t'))
        .collect();
    let text = text.trim();
    let have = text.chars().count();
    if text.is_empty() {
        return Err(ComplaintError::Empty);
    }
    if have > TEXT_CHARS_MAX {
        return Err(ComplaintError::TooLong { have });
    }
    let text = personal::mask(text).unwrap_or_else(|| text.to_owned());
    Ok(text.chars().take(TEXT_CHARS_MAX).collect())
}

impl HubCore {
    fn complaint_index(&self) -> Result<Index, ComplaintError> {
        let bytes = self.replica().meta(INDEX_KEY).map_err(HubError::from)?;
        Ok(bytes.map(|bytes| Index::decode(&bytes)).transpose()?.unwrap_or_default())
    }

    fn complaint(&self, number: u32) -> Result<Option<Complaint>, ComplaintError> {
        let bytes = self.replica().meta(&entry_key(number)).map_err(HubError::from)?;
        Ok(bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| Complaint::decode(&bytes)).transpose()?)
    }

    /// Every entry: those that wait for an answer first, each group newest first.
    ///
    /// # Errors
    /// [`ComplaintError`] when they cannot be read.
    pub fn complaints(&self) -> Result<Vec<Complaint>, ComplaintError> {
        let mut lines = self.complaint_index()?.lines;
        lines.sort_by_key(|line| (line.is_answered, core::cmp::Reverse(line.number)));
        let read = lines.iter().filter_map(|line| self.complaint(line.number).transpose());
        read.collect()
    }

    /// Takes an entry and answers its code. It is durable when this returns.
    ///
    /// # Errors
    /// [`ComplaintError`]: nothing is taken.
    pub fn complain(&mut self, now: UnixMillis, kind: ComplaintKind, text: &str) -> Result<String, ComplaintError> {
        let text = kept(text)?;
        let mut index = self.complaint_index()?;
        // A clock that was set back makes nobody wait longer.
        let within = |ms: i64| {
            let since = now.0.saturating_sub(ms);
            index.lines.iter().filter(|line| (since..=now.0).contains(&line.sent.0)).count()
        };
        if within(HOUR_MS) >= PER_HOUR_MAX || within(24 * HOUR_MS) >= PER_DAY_MAX {
            return Err(ComplaintError::TooMany);
        }
        if index.lines.len() >= ENTRIES_MAX {
            let oldest = index.lines.iter().position(|line| line.is_answered).ok_or(ComplaintError::Full)?;
            let gone = index.lines.remove(oldest);
            self.put_meta(&entry_key(gone.number), &[])?;
        }
        let mut secret = [0; CODE_BYTES];
        self.rng_mut().fill_bytes(&mut secret);
        let letters = data_encoding::BASE32_NOPAD.encode(&secret);
        let groups: Vec<String> =
            letters.as_bytes().chunks(CODE_GROUP).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
        let code = groups.join("-");
        let number = index.next;
        index.next = index.next.saturating_add(1);
        index.lines.push(Line { number, sent: now, is_answered: false, code: digest_of(&code) });
        let entry = Complaint { number, kind, sent: now, text, answer: None };
        self.put_meta(&entry_key(number), &entry.encode())?;
        self.put_durable(INDEX_KEY, &index.encode())?;
        Ok(code)
    }

    /// The entry of a code.
    ///
    /// # Errors
    /// [`ComplaintError`] when it cannot be read.
    pub fn complaint_of(&self, code: &str) -> Result<Option<Complaint>, ComplaintError> {
        let digest = digest_of(code);
        let index = self.complaint_index()?;
        let line = index.lines.iter().find(|line| line.code == digest);
        line.map_or(Ok(None), |line| self.complaint(line.number))
    }

    /// Answers an entry; a later answer stands in place of an earlier one. It is durable when this returns.
    ///
    /// # Errors
    /// [`ComplaintError`].
    pub fn answer_complaint(
        &mut self,
        now: UnixMillis,
        number: u32,
        by: &PersonCode,
        text: &str,
    ) -> Result<(), ComplaintError> {
        let text = kept(text)?;
        let mut index = self.complaint_index()?;
        let line = index.lines.iter_mut().find(|line| line.number == number);
        let line = line.ok_or(ComplaintError::Unknown { number })?;
        line.is_answered = true;
        let mut entry = self.complaint(number)?.ok_or(ComplaintError::Unknown { number })?;
        entry.answer = Some(ComplaintAnswer { text, by: by.clone(), at: now });
        self.put_meta(&entry_key(number), &entry.encode())?;
        Ok(self.put_durable(INDEX_KEY, &index.encode())?)
    }
}
