//! What a seed draws: who there is, what people do, what goes wrong, and when.
//!
//! A plan is a flat list. Every step carries its own randomness, so a step can be taken out and the others still mean the
//! same; that is what shrinking does. Kinds of faults are drawn first (a swarm): a run with few kinds reaches states that a
//! run with all of them never does.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// One minute, in milliseconds.
pub const MINUTE: u64 = 60_000;
/// One hour, in milliseconds.
pub const HOUR: u64 = 60 * MINUTE;
/// One day, in milliseconds.
pub const DAY: u64 = 24 * HOUR;

/// How large a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scale {
    /// Three tablets, some days, at most 40 changes, at least ten faults.
    Short,
    /// Twelve tablets, ninety days.
    Long,
}

impl Scale {
    /// Its word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// What people do with a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Act {
    /// Files a record and hands it in.
    Create,
    /// Changes a record at the version that is shown.
    Edit,
    /// Changes a record at the version that was looked at a while ago.
    EditOld,
    /// Hides a record.
    Withdraw,
    /// Says something about it.
    Comment,
    /// A coordinator approves it.
    Approve,
    /// A coordinator sends it back.
    Return,
    /// A coordinator opens it again.
    Reopen,
    /// Settles a conflict.
    Resolve,
    /// Keeps unfinished input.
    Draft,
    /// Has a network for some time.
    Online,
    /// Asks for a sync.
    Ask,
    /// Gives another tablet a bundle.
    Bundle,
    /// Lets go of a month.
    Evict,
    /// Takes it back.
    BringBack,
}

impl Act {
    /// Those that write a change of a record or a review event.
    pub const WRITES: [Self; 9] = [
        Self::Create,
        Self::Edit,
        Self::EditOld,
        Self::Withdraw,
        Self::Comment,
        Self::Approve,
        Self::Return,
        Self::Reopen,
        Self::Resolve,
    ];
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// Much loss for a while.
    Burst,
    /// Long delays for a while.
    Slow,
    /// Nothing gets through either way.
    Partition,
    /// Nothing gets from the tablets to the hub.
    PartitionUp,
    /// Nothing gets from the hub to the tablets.
    PartitionDown,
    /// Every connection breaks at once, in the middle of what it carries.
    CutAll,
    /// What the hub pushes is dropped.
    DropPushes,
    /// Messages of an ended session are given to the hub again.
    Replay,
    /// A tablet's program is killed.
    KillTablet,
    /// A tablet loses power at one of its next disk operations.
    PowerCutTablet,
    /// A tablet's disk is full for a while.
    FullTablet,
    /// One fsync of a tablet fails.
    FsyncTablet,
    /// One operation of a tablet's disk fails.
    IoTablet,
    /// A tablet's index is gone.
    IndexGoneTablet,
    /// A tablet's index is an old one.
    IndexOldTablet,
    /// A tablet's clock shows 1970.
    Clock1970,
    /// A tablet's clock shows 2099.
    Clock2099,
    /// A tablet's clock is some days wrong.
    ClockDays,
    /// A tablet's clock is right again.
    ClockRight,
    /// A tablet is copied, and both go on.
    Clone,
    /// A tablet is put back to an old image.
    OldImage,
    /// The hub's program is killed.
    KillHub,
    /// The hub loses power at one of its next disk operations.
    PowerCutHub,
    /// The hub's disk is full for a while.
    FullHub,
    /// One fsync of the hub fails.
    FsyncHub,
    /// One operation of the hub's disk fails.
    IoHub,
    /// The hub's index is gone.
    IndexGoneHub,
    /// The hub's index is an old one.
    IndexOldHub,
    /// A backup of the hub is made.
    Backup,
    /// The hub is restored from a backup.
    Restore,
    /// The hub's clock jumps by some days.
    ClockHub,
    /// A device is revoked.
    Revoke,
    /// A person loses a role.
    CutRole,
    /// A person gets a role.
    GrantRole,
    /// A record is erased.
    Purge,
    /// A device is enrolled.
    Enrol,
    /// The administrator releases what is held.
    Release,
    /// A program of an older protocol comes by.
    OlderPeer,
    /// A program of a newer protocol comes by.
    NewerPeer,
    /// A hostile device writes what no program of ours writes.
    Hostile,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 40] = [
        Self::Burst,
        Self::Slow,
        Self::Partition,
        Self::PartitionUp,
        Self::PartitionDown,
        Self::CutAll,
        Self::DropPushes,
        Self::Replay,
        Self::KillTablet,
        Self::PowerCutTablet,
        Self::FullTablet,
        Self::FsyncTablet,
        Self::IoTablet,
        Self::IndexGoneTablet,
        Self::IndexOldTablet,
        Self::Clock1970,
        Self::Clock2099,
        Self::ClockDays,
        Self::ClockRight,
        Self::Clone,
        Self::OldImage,
        Self::KillHub,
        Self::PowerCutHub,
        Self::FullHub,
        Self::FsyncHub,
        Self::IoHub,
        Self::IndexGoneHub,
        Self::IndexOldHub,
        Self::Backup,
        Self::Restore,
        Self::ClockHub,
        Self::Revoke,
        Self::CutRole,
        Self::GrantRole,
        Self::Purge,
        Self::Enrol,
        Self::Release,
        Self::OlderPeer,
        Self::NewerPeer,
        Self::Hostile,
    ];

    /// Whether it hits one tablet.
    #[must_use]
    pub const fn is_of_tablet(self) -> bool {
        matches!(
            self,
            Self::KillTablet
                | Self::PowerCutTablet
                | Self::FullTablet
                | Self::FsyncTablet
                | Self::IoTablet
                | Self::IndexGoneTablet
                | Self::IndexOldTablet
                | Self::Clock1970
                | Self::Clock2099
                | Self::ClockDays
                | Self::ClockRight
                | Self::Clone
                | Self::OldImage
                | Self::Revoke
                | Self::CutRole
                | Self::GrantRole
                | Self::Hostile
        )
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// People do something.
    Act(Act),
    /// Something goes wrong.
    Fault(Fault),
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its place in the plan as it was drawn.
    pub number: usize,
    /// When, in milliseconds since the beginning.
    pub at: u64,
    /// What.
    pub what: What,
    /// Its own randomness.
    pub draw: u64,
}

/// The usual state of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weather {
    /// Packets lost, of a thousand.
    pub loss_per_mille: u32,
    /// Packets that come twice, of a thousand.
    pub duplicate_per_mille: u32,
    /// One way, at least.
    pub delay_ms: u64,
    /// One way, more than that at most.
    pub jitter_ms: u64,
}

/// A run to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// How large it is.
    pub scale: Scale,
    /// Tablets at the beginning, the coordinator's included.
    pub tablets: usize,
    /// When the network heals.
    pub heals_at: u64,
    /// The network.
    pub weather: Weather,
    /// What happens, by time.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64, scale: Scale) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x51AA_0BAD_5EED_0001);
        let (tablets, heals_at, writes, faults) = match scale {
            Scale::Short => {
                let writes = if rng.random_bool(0.15) { rng.random_range(24..=40) } else { rng.random_range(5..=16) };
                (3, rng.random_range(6 * HOUR..4 * DAY), writes, rng.random_range(10..=16))
            }
            Scale::Long => (12, 90 * DAY, rng.random_range(200..=300), rng.random_range(80..=140)),
        };
        let weather = Weather {
            loss_per_mille: [0, 10, 35, 70, 200, 400][rng.random_range(0..6)],
            duplicate_per_mille: [0, 10, 100, 500][rng.random_range(0..4)],
            delay_ms: [5, 40, 175, 600][rng.random_range(0..4)],
            jitter_ms: [0, 20, 200, 1_000][rng.random_range(0..4)],
        };
        let mut steps = Vec::new();
        draw_acts(&mut rng, tablets, heals_at, writes, &mut steps);
        draw_faults(&mut rng, heals_at, faults, &mut steps);
        steps.sort_by_key(|step| step.at);
        for (number, step) in steps.iter_mut().enumerate() {
            step.number = number;
        }
        Self { seed, scale, tablets, heals_at, weather, steps }
    }

    /// The same with only some steps.
    #[must_use]
    pub fn keeping(&self, numbers: &[usize]) -> Self {
        let steps = self.steps.iter().filter(|step| numbers.contains(&step.number)).copied().collect();
        Self { steps, ..self.clone() }
    }

    /// How many faults it has.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.what, What::Fault(_))).count()
    }
}

fn draw_acts(rng: &mut StdRng, tablets: usize, heals_at: u64, writes: usize, steps: &mut Vec<Step>) {
    let mut push = |rng: &mut StdRng, at: u64, act: Act| {
        steps.push(Step { number: 0, at, what: What::Act(act), draw: rng.random() });
    };
    // Work comes in bursts: several acts within minutes, as in an orchard.
    let mut left = writes;
    while left > 0 {
        let begins = rng.random_range(0..heals_at);
        let burst = rng.random_range(1..=4_usize).min(left);
        for _ in 0..burst {
            let act = match rng.random_range(0..100) {
                0..34 => Act::Create,
                34..56 => Act::Edit,
                56..68 => Act::EditOld,
                68..72 => Act::Withdraw,
                72..77 => Act::Comment,
                77..86 => Act::Approve,
                86..91 => Act::Return,
                91..93 => Act::Reopen,
                _ => Act::Resolve,
            };
            let at = begins + rng.random_range(0..20 * MINUTE);
            push(rng, at.min(heals_at - 1), act);
        }
        left -= burst;
    }
    let days = usize::try_from(heals_at / DAY).unwrap_or(0) + 1;
    for (act, count) in [
        (Act::Online, tablets * 2 + days * tablets / 2),
        (Act::Ask, tablets + days),
        (Act::Draft, 2 + days),
        (Act::Bundle, 1 + days / 10),
        (Act::Evict, 1 + days / 10),
        (Act::BringBack, days / 10),
    ] {
        for _ in 0..count {
            let at = rng.random_range(0..heals_at);
            push(rng, at, act);
        }
    }
}

fn draw_faults(rng: &mut StdRng, heals_at: u64, faults: usize, steps: &mut Vec<Step>) {
    let kinds = rng.random_range(3..=10);
    let mut swarm: Vec<Fault> = Vec::new();
    while swarm.len() < kinds {
        let fault = Fault::ALL[rng.random_range(0..Fault::ALL.len())];
        if !swarm.contains(&fault) {
            swarm.push(fault);
        }
    }
    if swarm.contains(&Fault::Restore) {
        swarm.push(Fault::Backup);
    }
    // Faults come near work, so that they hit something.
    let busy: Vec<u64> = steps.iter().map(|step| step.at).collect();
    for _ in 0..faults {
        let fault = swarm[rng.random_range(0..swarm.len())];
        let near = busy[rng.random_range(0..busy.len())];
        let at =
            if rng.random_bool(0.7) { near + rng.random_range(0..3 * MINUTE) } else { rng.random_range(0..heals_at) };
        steps.push(Step { number: 0, at: at.min(heals_at - 1), what: What::Fault(fault), draw: rng.random() });
    }
}
