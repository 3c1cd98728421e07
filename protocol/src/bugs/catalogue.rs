//! The catalogue: what each mistake is, what it costs, and where it was seen.

use super::{Layer, Story};

macro_rules! catalogue {
    ($($variant:ident, $name:literal, $layer:ident, $mistake:literal, $cost:literal, $seen:literal;)*) => {
        /// A known bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Bug {
            $(
                #[doc = $mistake]
                #[doc = ""]
                #[doc = concat!("Costs: ", $cost, ". Seen: ", $seen, ".")]
                $variant,
            )*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name, for the command line and the tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What is known of it.
            #[must_use]
            pub const fn story(self) -> Story {
                match self {
                    $(Self::$variant => Story { layer: Layer::$layer, mistake: $mistake, cost: $cost, seen: $seen },)*
                }
            }
        }
    };
}

catalogue! {
    AcksBeforeFsync, "acks-before-fsync", Store,
        "frames are written, and believed without an fsync",
        "what was called saved or delivered is gone after a power cut",
        "embedded stores that ask for writeback instead of a sync";
    FsyncErrorForgotten, "fsync-error-forgotten", Store,
        "a failed fsync is tried again, and its success believed",
        "the kernel dropped the pages: saved records are gone after a power cut",
        "PostgreSQL's fsyncgate, 2018";
    LastGroupTrusted, "last-group-trusted", Store,
        "what reads well at the start is taken for durable, without writing it again",
        "a record shown after a restart is gone after the next power cut",
        "stores that reread the page cache after a failed fsync";
    RewriteDropsPack, "rewrite-drops-pack", Store,
        "a pack that carries something erased is dropped whole when the log is rewritten",
        "erasing one record loses others that travelled with it",
        "compactions that drop whole files";
    RewriteDropsDraft, "rewrite-drops-newest-draft", Store,
        "of two frames of a draft the compaction drops the newer",
        "unfinished input is back at an old state",
        "compactions that keep the first of a key";
    ErasedTakenAgain, "erased-taken-in-again", Store,
        "a pack that brings an erased record is stored as it came",
        "an erased record comes back from a tablet that was away",
        "tombstones with an end (Ditto's seven days)";
    ErasesOnce, "erases-once", Store,
        "whether bytes must go is remembered as yes or no, and not for which decisions",
        "the second erasure, or one that comes back after a restore, leaves its bytes",
        "backups that undo an erasure";
    ErasureNotFollowed, "erasure-not-followed", Store,
        "a decision to erase changes the list of decisions and not the record",
        "an erased record is still shown and counted until the index is rebuilt",
        "caches without invalidation";
    HoldNotFollowed, "hold-not-followed", Store,
        "a published hold changes the list of decisions and not the record",
        "replicas show different states of one record",
        "caches without invalidation";
    OutboxNotEmptied, "outbox-not-emptied", Store,
        "sealed changes stay in the outbox",
        "every session sends everything again, and the counter never falls",
        "upload queues that do not drain (PowerSync)";
    DedupeByNumber, "dedupe-by-number", Store,
        "a pack is known when one with its number is, whatever its hash",
        "of a copied tablet one branch is thrown away and acknowledged",
        "sequence numbers without hashes (Automerge after a clone)";
    PackStoredTwice, "pack-stored-twice", Store,
        "a pack that comes again is appended again",
        "a replayed session fills the disk",
        "at-least-once queues without a dedupe";
    ParkedNeverWakes, "parked-never-wakes", Store,
        "a pack that waits for a decision is not looked at again when it comes",
        "work sent to a restored hub stays unread for ever",
        "subduction's stuck documents; protocol rule A4";
    ForkHidesBranch, "fork-hides-branch", Store,
        "a log is taken for a line: its newest tip replaces the others",
        "one branch of a copied tablet reaches nobody else",
        "append-only feeds that assume one writer";
    LostEpochCounts, "receipts-of-lost-epoch-count", Store,
        "a receipt counts for ever, whatever became of the hub that gave it",
        "after a restore tablets say delivered, and send nothing again",
        "a server restored under its clients (medic/cht-core 8093)";
    EvictsUnbacked, "evicts-unbacked", Store,
        "a month may go as soon as the hub has it, backup or not",
        "the hub's disk dies, and the month with it",
        "caches that trust one copy; protocol rule A5";
    EvictsOthersWork, "evicts-others-work", Tablet,
        "of what others wrote a backup is taken for granted",
        "the only copy of a colleague's visits is freed",
        "caches that trust one copy; protocol rule A5";
    ReviewsNotInDigest, "reviews-not-in-digest", Store,
        "the state digest counts records and forgets reviews",
        "replicas that differ in an approval find themselves equal",
        "checksums that cover half of the state";
    WaitingNeverJudged, "waiting-never-judged", Store,
        "a change that came before its base is not judged again when the base comes",
        "an edit that overtook its record is never shown",
        "Automerge orphans; subduction 165";
    VectorComparesNumbers, "vector-compares-numbers", Session,
        "vectors are compared by sequence number, and not by head",
        "branches of a copied tablet never meet",
        "version vectors without hashes (R4)";
    ResumeOffByOne, "resume-off-by-one", Session,
        "the first pack of a log counts as sent",
        "a new tablet never gets the first pack, and refuses all that follow",
        "resume tokens that are one off";
    SelectionReused, "selection-reused", Session,
        "what the hub once agreed to is asked for again after a decision changed it",
        "a person who got a role back gets no records",
        "this simulator, November 2026";
    DecisionsFlowDown, "decisions-flow-down-only", Session,
        "tablets take decisions from the hub and never bring them back",
        "a restored hub forgets revocations and erasures made after the backup",
        "every server that is the only author of its rules; protocol rule A4";
    ReceiptGivenOnce, "receipt-given-once", Hub,
        "a receipt is given for new packs only, and not for one that comes again",
        "a connection that breaks before the receipt leaves work waiting for ever",
        "PowerSync's stuck queue; MQTT duplicates without an ack";
    ScopeIgnored, "scope-ignored", Session,
        "records are sent to whoever asks for them",
        "a station reads another station's farmers",
        "shape and bucket rules evaluated on the client";
    UnconfirmedServed, "unconfirmed-served", Gate,
        "a restored hub serves every device it finds in its backup",
        "a thief whose revocation was lost with the old machine reads on",
        "restores that revive deleted tokens; protocol rule A15";
    CarrierNotJudged, "carrier-not-judged", Gate,
        "a change is believed because its connection was authenticated",
        "a revoked tablet, or one that speaks for another, writes on",
        "servers that check rights at login only";
    RevocationIgnored, "revocation-ignored", Gate,
        "a revoked device's packs pass, whenever they were made",
        "a stolen tablet writes into the assessment",
        "revocation that only closes connections";
    CutIgnored, "cut-ignored", Gate,
        "the end of a grant has no effect on packs",
        "who left the station goes on approving",
        "rights that are only ever added";
    HeadNotChecked, "head-not-checked", Gate,
        "a change's number and operation counter are taken as they are",
        "one change with a counter near its end makes every tablet stop at the next edit",
        "Automerge's operation counters near 2^32";
    MonthAheadTaken, "month-ahead-taken", Gate,
        "a record may be filed under any month",
        "a tablet in 2099 files where nobody ever looks",
        "protocol rule A7";
    ConflictHidden, "conflict-hidden", Records,
        "of two values written at once the other is not told",
        "a technician's figure disappears without anybody deciding so",
        "last writer wins";
    LastClockWins, "last-clock-wins", Records,
        "the value with the latest clock is shown",
        "a tablet in 2099 overrules everybody for ever",
        "last writer wins by wall clock";
    SettlesUnseen, "settles-what-was-not-seen", Records,
        "whoever writes over a conflict has settled it",
        "a value that nobody saw is gone from the list of conflicts",
        "implicit resolves; protocol rule A9";
    EditsAtNewest, "edits-at-newest", Tablet,
        "an edit is authored at the newest version, not at the one that was shown",
        "a value that arrived meanwhile is overwritten unseen, and nobody is told",
        "forms that save over the server's state";
    PinnedToNewest, "review-pinned-to-newest", Tablet,
        "a decision is filed under the newest version, not under the one that was looked at",
        "an approval covers a figure that the coordinator never saw",
        "review tools that approve a branch";
    ChangeUntold, "change-after-approval-untold", Records,
        "a change after an approval is not told",
        "approved figures change silently",
        "status columns beside the data (R23)";
    DisagreementApproved, "disagreement-approved", Records,
        "of two decisions made at once the approval wins",
        "a returned record counts in the assessment",
        "status columns with one winner (R23)";
    WithdrawalForgotten, "withdrawn-counts", Records,
        "a withdrawal does not hide the approval before it",
        "a record its author took back counts in the assessment",
        "soft deletes that a state machine forgets";
    SavedBeforeDurable, "saved-before-durable", Tablet,
        "saved is said before, and whatever, the disk says",
        "a full disk loses the visit that was just confirmed",
        "write-behind caches in offline apps";
    ActorKept, "actor-kept-after-copy", Tablet,
        "a device writes with one actor for ever",
        "after a copy two changes have one number, and replicas never agree",
        "Automerge's duplicate sequence numbers";
    UnsentCountsAsSent, "unsent-counts-as-sent", Tablet,
        "what is saved and not yet sealed is not counted as waiting",
        "a technician sees an empty outbox and wipes the tablet",
        "counters kept beside the data";
    ClockTrusted, "clock-trusted", Tablet,
        "a tablet files by its own clock, whatever the hub said",
        "a dead battery files visits under 1970",
        "every offline app; protocol rule A7";
    LargestTimeWins, "largest-time-wins", Tablet,
        "of two statements of time the larger one is kept",
        "a hub that said a wrong time once is believed for ever, and its watermark no more",
        "hybrid clocks with max; protocol rule A7";
    EpochKept, "restore-keeps-epoch", Hub,
        "a restored hub goes on in the epoch of its backup",
        "receipts of what was lost still count: tablets send nothing again",
        "a server restored under its clients (medic/cht-core 8093)";
    ReceiptNamesTooLittle, "receipt-names-early-commit", Hub,
        "a receipt names the commit the hub started with, not the one that holds the packs",
        "after a restore it counts, though the packs are gone; it says backed up too early",
        "acks that name a stale offset";
    WatermarkAhead, "watermark-runs-ahead", Hub,
        "what is durable is told to be in the backup",
        "tablets free months that only the dead disk had",
        "backup jobs that report the source's position";
}
