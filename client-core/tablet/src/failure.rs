//! What a person is told when something did not work: what, why, and what to do next; and the number a script gets.

use std::fmt::Display;
use std::io;
use std::path::Path;

use qianmo_client_core::{
    CloseError, EnrollError, HaltReason, OpenError, ReadError, SyncError, TicketRefusal, UpdateNeed, WriteError,
};

use crate::exit::Exit;
use crate::message::Messages;

/// Why a run stops.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told.
    Told(Box<Told>),
    /// Whoever read the output has gone: nothing to tell, and nobody to tell it to.
    Unheard,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) exit: Exit,
    /// What did not work.
    pub(crate) what: String,
    /// Why, as the parts below said it.
    pub(crate) details: Vec<String>,
    /// What to do.
    pub(crate) next: Vec<String>,
}

impl Told {
    pub(crate) const fn new(exit: Exit, what: String) -> Self {
        Self { exit, what, details: Vec::new(), next: Vec::new() }
    }

    pub(crate) fn why(mut self, detail: impl Display) -> Self {
        self.details.push(detail.to_string());
        self
    }

    pub(crate) fn next(mut self, next: String) -> Self {
        self.next.push(next);
        self
    }

    /// As lines.
    pub(crate) fn lines(&self, messages: Messages) -> Vec<String> {
        let mut lines = vec![messages.with("error-what", &[("what", self.what.as_str().into())])];
        lines.extend(self.details.iter().map(|why| messages.with("error-why", &[("why", why.as_str().into())])));
        lines.extend(self.next.iter().map(|next| messages.with("error-next", &[("next", next.as_str().into())])));
        lines
    }
}

impl From<Told> for Failure {
    fn from(told: Told) -> Self {
        Self::Told(Box::new(told))
    }
}

impl From<io::Error> for Failure {
    /// Of the terminal; files are told about where they are used.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Unheard;
        }
        Told::new(Exit::Failed, error.to_string()).into()
    }
}

/// Why something failed, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// Whether the words of a failed store are about room.
fn is_about_room(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    ["no space", "no storage space", "storage full", "disk full", "quota", "os error 28)", "os error 112)"]
        .into_iter()
        .any(|sign| detail.contains(sign))
}

pub(crate) fn store(error: &dyn std::error::Error, messages: Messages) -> Told {
    let detail = chain(error);
    let next = if is_about_room(&detail) { "next-disk-full" } else { "next-store-failed" };
    Told::new(Exit::Failed, messages.text("error-store")).why(detail).next(messages.text(next))
}

/// The core is gone in the middle of a command; no command closes it before its end.
pub(crate) fn closed(messages: Messages) -> Told {
    Told::new(Exit::Failed, messages.text("error-closed")).next(messages.text("next-store-failed"))
}

pub(crate) fn not_enrolled(messages: Messages) -> Told {
    Told::new(Exit::NotEnrolled, messages.text("error-not-enrolled")).next(messages.text("next-not-enrolled"))
}

pub(crate) fn of_open(error: &OpenError, folder: &Path, messages: Messages) -> Told {
    let place = folder.display().to_string();
    match error {
        OpenError::InUse => Told::new(Exit::Failed, messages.with("error-in-use", &[("folder", place.into())]))
            .next(messages.text("next-in-use")),
        OpenError::Identity(_) => Told::new(Exit::Failed, messages.with("error-identity", &[("folder", place.into())]))
            .why(chain(error))
            .next(messages.text("next-identity")),
        OpenError::Forms(error) => crate::command::forms::faulty(error, Some(folder), messages),
        OpenError::Store(_) | OpenError::Start(_) => {
            let mut told = store(error, messages);
            told.what = messages.with("error-open", &[("folder", place.into())]);
            told
        }
    }
}

pub(crate) fn of_enroll(error: &EnrollError, messages: Messages) -> Told {
    let told = |exit, what: &str| Told::new(exit, messages.text(what));
    match error {
        EnrollError::Ticket { detail } => {
            told(Exit::Usage, "error-ticket").why(detail).next(messages.text("next-ticket-copy"))
        }
        EnrollError::AlreadyEnrolled => {
            told(Exit::Failed, "error-enrolled-already").next(messages.text("next-enrolled-already"))
        }
        EnrollError::OtherOrganisation => {
            told(Exit::Rejected, "error-other-organisation").next(messages.text("next-other-folder"))
        }
        EnrollError::Refused { reason } => match reason {
            TicketRefusal::Unknown => {
                told(Exit::Rejected, "error-ticket-unknown").next(messages.text("next-ticket-new"))
            }
            TicketRefusal::Used => told(Exit::Rejected, "error-ticket-used").next(messages.text("next-ticket-new")),
            TicketRefusal::Expired => {
                told(Exit::Rejected, "error-ticket-expired").next(messages.text("next-ticket-new"))
            }
            TicketRefusal::Key => told(Exit::Rejected, "error-ticket-key").next(messages.text("next-other-folder")),
            TicketRefusal::Busy => told(Exit::Network, "error-hub-busy").next(messages.text("next-enroll-again")),
        },
        EnrollError::Unreachable { detail } => {
            told(Exit::Network, "error-unreachable").why(detail).next(messages.text("next-enroll-again"))
        }
        EnrollError::WrongAnswer { detail } => {
            told(Exit::Rejected, "error-wrong-answer").why(detail).next(messages.text("next-wrong-answer"))
        }
        EnrollError::Store(_) => store(error, messages).next(messages.text("next-enroll-again")),
        EnrollError::Closed => closed(messages),
    }
}

pub(crate) fn of_write(error: &WriteError, messages: Messages) -> Told {
    let lang = messages.lang();
    match error {
        WriteError::NotEnrolled => not_enrolled(messages),
        WriteError::UnknownForm { form } => {
            Told::new(Exit::Usage, messages.with("error-unknown-form", &[("form", form.as_str().into())]))
                .next(messages.text("next-forms"))
        }
        WriteError::Invalid { faults } => {
            let what = messages.with("error-invalid", &[("count", faults.len().into())]);
            let mut told = Told::new(Exit::Rejected, what);
            told.details = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message.get(lang))).collect();
            told.next(messages.text("next-invalid"))
        }
        WriteError::UnknownPerson { person } => {
            Told::new(Exit::Usage, messages.with("error-unknown-person", &[("person", person.as_str().into())]))
                .next(messages.text("next-unknown-person"))
        }
        WriteError::Code { what, text } => {
            let arguments = [("text", text.as_str().into()), ("what", (*what).into())];
            Told::new(Exit::Usage, messages.with("error-code", &arguments)).next(messages.text("next-code"))
        }
        WriteError::UnknownRecord { record } => unknown_record(&record.to_string(), messages),
        WriteError::VersionGone { .. } | WriteError::NoConflict { .. } => {
            Told::new(Exit::Rejected, messages.text("error-moved-on")).why(error).next(messages.text("next-moved-on"))
        }
        WriteError::NotAllowed { code } => {
            let held = qianmo_client_core::codes::explain(*code);
            let arguments = [("code", held.code.into()), ("what", held.what.get(lang).into())];
            Told::new(Exit::Rejected, messages.with("error-not-allowed", &arguments))
                .next(messages.text("next-not-allowed"))
        }
        WriteError::DraftTooLarge { have, max, .. } => {
            let arguments = [("have", (*have).into()), ("max", (*max).into())];
            Told::new(Exit::Rejected, messages.with("error-draft-too-large", &arguments))
                .next(messages.text("next-draft-too-large"))
        }
        WriteError::NotWritable { detail } => Told::new(Exit::Rejected, messages.text("error-not-writable"))
            .why(detail)
            .next(messages.text("next-new-record")),
        WriteError::Store(_) => store(error, messages),
        WriteError::Closed => closed(messages),
    }
}

pub(crate) fn of_read(error: &ReadError, messages: Messages) -> Told {
    match error {
        ReadError::Code { what, text } => {
            let arguments = [("text", text.as_str().into()), ("what", (*what).into())];
            Told::new(Exit::Usage, messages.with("error-code", &arguments)).next(messages.text("next-code"))
        }
        ReadError::MustUpdate => {
            Told::new(Exit::Rejected, messages.text("error-must-update")).next(messages.text("next-must-update"))
        }
        ReadError::Store(_) => store(error, messages),
        ReadError::Closed => closed(messages),
    }
}

pub(crate) fn of_sync(error: &SyncError, messages: Messages) -> Told {
    match error {
        SyncError::NotEnrolled => not_enrolled(messages),
        SyncError::Unreachable { detail } => Told::new(Exit::Network, messages.text("error-unreachable"))
            .why(detail)
            .next(messages.text("next-unreachable")),
        SyncError::TimedOut => {
            Told::new(Exit::Network, messages.text("error-timed-out")).next(messages.text("next-unreachable"))
        }
        SyncError::Halted(reason) => halted(*reason, messages),
        SyncError::Store(_) => store(error, messages),
        SyncError::Closed => closed(messages),
    }
}

/// Trying again does not help until someone does something: the core's words say who and what.
pub(crate) fn halted(reason: HaltReason, messages: Messages) -> Told {
    let exit = match reason {
        HaltReason::NotEnrolled => Exit::NotEnrolled,
        HaltReason::Revoked | HaltReason::DeviceRefused | HaltReason::PeerIncompatible | HaltReason::PeerMisbehaved => {
            Exit::Rejected
        }
        HaltReason::WrongOrganisation => Exit::Network,
        HaltReason::StoreFailed => Exit::Failed,
    };
    Told::new(exit, reason.message().get(messages.lang()).to_owned()).next(messages.text("next-halted"))
}

/// The sync did what it may; the program is too old for more.
pub(crate) fn must_update(update: UpdateNeed, messages: Messages) -> Told {
    Told::new(Exit::Rejected, update.message().get(messages.lang()).to_owned()).next(messages.text("next-update"))
}

pub(crate) fn of_close(error: &CloseError, messages: Messages) -> Told {
    match error {
        CloseError::Store(_) => store(error, messages),
        CloseError::Closed => closed(messages),
    }
}

pub(crate) fn unknown_record(id: &str, messages: Messages) -> Told {
    Told::new(Exit::Failed, messages.with("error-unknown-record", &[("record", id.into())]))
        .next(messages.text("next-unknown-record"))
}

/// A file that could not be written or read.
pub(crate) fn of_file(error: &io::Error, file: &Path, messages: Messages) -> Told {
    let detail = error.to_string();
    let next = if is_about_room(&detail) || error.kind() == io::ErrorKind::StorageFull {
        "next-disk-full"
    } else {
        "next-file"
    };
    Told::new(Exit::Failed, messages.with("error-file", &[("file", file.display().to_string().into())]))
        .why(detail)
        .next(messages.text(next))
}

#[cfg(test)]
mod tests {
    use qianmo_forms::Lang;

    use super::*;
    use crate::testing::store_failure;

    const ZH: Messages = Messages::new(Lang::Zh);
    const EN: Messages = Messages::new(Lang::En);

    #[test]
    fn every_failure_says_what_to_do_next() {
        let all = [
            of_open(&OpenError::InUse, Path::new("/data"), ZH),
            of_open(&OpenError::Identity(store_failure("cut")), Path::new("/data"), ZH),
            of_open(&OpenError::Store(store_failure("cut")), Path::new("/data"), ZH),
            of_enroll(&EnrollError::Ticket { detail: "short".to_owned() }, ZH),
            of_enroll(&EnrollError::Refused { reason: TicketRefusal::Used }, ZH),
            of_enroll(&EnrollError::Refused { reason: TicketRefusal::Expired }, ZH),
            of_enroll(&EnrollError::Unreachable { detail: "no route".to_owned() }, ZH),
            of_write(&WriteError::NotEnrolled, ZH),
            of_sync(&SyncError::Unreachable { detail: "no route".to_owned() }, ZH),
            of_sync(&SyncError::Halted(HaltReason::Revoked), ZH),
            must_update(UpdateNeed::MinimumVersion { have: 1, need: 2 }, ZH),
            unknown_record("1a2b", ZH),
        ];
        for told in all {
            assert!(!told.next.is_empty(), "{told:?}");
            let text = told.lines(ZH).join("\n");
            assert!(text.starts_with("错误：") && text.contains("下一步："), "{text}");
            assert!(!text.contains("Unknown localization"), "{text}");
        }
    }

    #[test]
    fn exit_tells_a_script_who_has_to_act() {
        let exit = |told: Told| told.exit;
        assert_eq!(exit(of_enroll(&EnrollError::Refused { reason: TicketRefusal::Expired }, EN)), Exit::Rejected);
        assert_eq!(exit(of_enroll(&EnrollError::Unreachable { detail: String::new() }, EN)), Exit::Network);
        assert_eq!(exit(of_sync(&SyncError::TimedOut, EN)), Exit::Network);
        assert_eq!(exit(of_sync(&SyncError::Halted(HaltReason::Revoked), EN)), Exit::Rejected);
        assert_eq!(exit(of_sync(&SyncError::NotEnrolled, EN)), Exit::NotEnrolled);
        assert_eq!(exit(of_write(&WriteError::Invalid { faults: Vec::new() }, EN)), Exit::Rejected);
        assert_eq!(exit(of_read(&ReadError::Closed, EN)), Exit::Failed);
    }

    #[test]
    fn full_disk_is_told_from_a_broken_one() {
        let full =
            of_write(&WriteError::Store(store_failure("write a.seg: No space left on device (os error 28)")), EN);
        assert_eq!(full.next, [EN.text("next-disk-full")]);
        let broken = of_write(&WriteError::Store(store_failure("read a.seg: input/output error (os error 5)")), EN);
        assert_eq!(broken.next, [EN.text("next-store-failed")]);
    }

    #[test]
    fn reader_that_went_away_is_no_error() {
        assert!(matches!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)), Failure::Unheard));
        assert!(matches!(Failure::from(io::Error::from(io::ErrorKind::Other)), Failure::Told(_)));
    }
}
