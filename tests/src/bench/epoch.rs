//! What a new epoch costs: the hub comes back from a backup, and a tablet's next session finds out what is missing.
//!
//! Stores are in memory: what counts here are turns and bytes, and that they do not follow the number of records.

use qianmo_protocol::control::{Decision, Role};
use qianmo_replica::disk::CrashMode;
use serde_json::json;

use super::sync::{fill, meeting};
use super::{Lines, merged};
use crate::world::{World, assert_same_states};

/// What happened around the restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// The backup is whole, and the tablet has nothing new.
    Nothing,
    /// The backup is whole, and the tablet has written a record since its last session.
    OneNew,
    /// The backup lacks the tablet's last twenty records; nobody but tablets has them.
    TwentyLost,
}

impl Case {
    const ALL: [Self; 3] = [Self::Nothing, Self::OneNew, Self::TwentyLost];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing_new",
            Self::OneNew => "one_new_record",
            Self::TwentyLost => "backup_lacks_20_records",
        }
    }
}

/// The first session in a new epoch with so many records on the tablet; the second, which brings the word that the
/// epoch's adoption is complete; and the third, when there is nothing to do.
///
/// # Errors
/// When a step does not do what it must.
pub fn run(lines: &mut Lines<'_>, records: usize, level: i32) -> anyhow::Result<()> {
    for case in Case::ALL {
        let mut world = World::new(lines.seed);
        world.level = level;
        let mut tablet = world.enrol("P01", Role::Technician);
        fill(&mut world, &mut tablet, records)?;
        world.meet(&mut tablet);
        let before = world.meet(&mut tablet);
        let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
        let contained = world.hub.replica.durable_commit().0;
        if case == Case::TwentyLost {
            fill(&mut world, &mut tablet, 20)?;
            world.meet(&mut tablet);
        }
        world.restore_hub(image, contained);
        if case == Case::OneNew {
            fill(&mut world, &mut tablet, 1)?;
        }
        let first = world.meet(&mut tablet);
        let epoch = world.hub.epoch;
        world.decide(Decision::AdoptionComplete { epoch });
        let second = world.meet(&mut tablet);
        let third = world.meet(&mut tablet);
        anyhow::ensure!(first.finished && second.finished && third.finished, "a session after the restore did not end");
        assert_same_states(&[&world.hub.replica, &tablet.replica]);
        let values = json!({
            "records": records,
            "case": case.name(),
            "level": level,
            "message_bytes_before_the_restore": before.bytes_up + before.bytes_down,
            "message_bytes_second_session": second.bytes_up + second.bytes_down,
            "message_bytes_third_session": third.bytes_up + third.bytes_down,
        });
        lines.say("new_epoch", merged(meeting(&first), values))?;
    }
    Ok(())
}
