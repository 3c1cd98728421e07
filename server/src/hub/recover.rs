//! What a crash left half done: verdicts whose failures were not published, and packs that were not judged.
//!
//! A verdict is durable before its failures can be published. When the hub stops between the two, tablets would take what
//! failed for passed. So at every start the verdicts since the last one are read again, and what is missing is published.

use qianmo_protocol::ids::{DeviceId, LogbookName};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::{LogTrees as _, Tip};
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::frames::VerdictFrame;
use qianmo_replica::pack_log::{FrameKind, FramePointer, ScanError, ScanFrom};
use qianmo_replica::replica::{CODE_WAITS, HeldChange, HeldPart, ReplicaError, Word};

use super::{HubCore, HubError};

/// The meta key of the frame up to which every verdict is published.
const CHECKED_KEY: &[u8] = b"hub checked";

impl HubCore {
    /// Publishes what is missing and judges what waits.
    pub(super) fn recover(&mut self, now: UnixMillis) -> Result<(), HubError> {
        self.finish_adoption(now)?;
        self.resume_endings()?;
        self.remember_published();
        self.load_undecided()?;
        self.resume_erasure()?;
        let (verdicts, last) = self.unchecked_verdicts()?;
        let mut held = Vec::new();
        let mut judged = Vec::new();
        for verdict in verdicts {
            let (ours, administrators) = self.held_by(&verdict)?;
            held.extend(ours);
            held.extend(self.keep_undecided(now, administrators)?);
            judged.push((verdict.logbook, verdict.pack, 0));
        }
        let before = self.counters.quarantines;
        self.publish(now, held, &judged)?;
        let missing = self.counters.quarantines.saturating_sub(before);
        if missing > 0 {
            tracing::warn!(missing, "quarantines that a crash kept from being published are published now");
        }
        if let Some(last) = last {
            self.replica.put_meta(CHECKED_KEY, &last.encode())?;
        }
        self.judge_what_waits(now)?;
        self.send_own(now)?;
        // A grant may have come just before the crash.
        self.sweep.begin();
        self.replica.take_visible();
        Ok(())
    }

    fn unchecked_verdicts(&self) -> Result<(Vec<VerdictFrame>, Option<FramePointer>), HubError> {
        let checked = self.replica.meta(CHECKED_KEY)?;
        let checked = checked.and_then(|bytes| FramePointer::decode(&bytes).ok());
        let log = self.replica.pack_log();
        let scan = match checked.map(|pointer| (pointer, log.scan_from(ScanFrom::After(pointer)))) {
            Some((_, Ok(scan))) => scan,
            Some((pointer, Err(_))) => log.scan_from(ScanFrom::Commit(pointer.commit)).map_err(ReplicaError::from)?,
            None => log.scan_from(ScanFrom::Start).map_err(ReplicaError::from)?,
        };
        let mut verdicts = Vec::new();
        let mut last = None;
        for found in scan {
            match found {
                Ok((pointer, frame)) => {
                    last = Some(pointer);
                    if frame.kind == FrameKind::Verdict {
                        verdicts.extend(VerdictFrame::decode(&frame.payload).ok());
                    }
                }
                // The log reported it at open; what follows is still good.
                Err(ScanError::Damaged(_)) => {}
                Err(error) => return Err(ReplicaError::from(error).into()),
            }
        }
        Ok((verdicts, last))
    }

    /// What a verdict found that is to be published, and what is for the administrator to decide.
    fn held_by(&self, verdict: &VerdictFrame) -> Result<(Vec<HeldChange>, Vec<HeldChange>), HubError> {
        let (mut ours, mut administrators) = (Vec::new(), Vec::new());
        let fails = |content: u16, carrier: u16| (content != 0 && content != CODE_WAITS) || carrier != 0;
        if !verdict.findings.iter().any(|finding| fails(finding.content, finding.carrier)) {
            return Ok((ours, administrators));
        }
        let Some(pack) = self.replica.pack(&verdict.logbook, &verdict.pack) else { return Ok((ours, administrators)) };
        let entries = pack.open().unwrap_or_default();
        for finding in &verdict.findings {
            let Some(entry) = entries.get(usize::from(finding.index)) else { continue };
            let held = |code, part| HeldChange {
                logbook: verdict.logbook.clone(),
                pack: verdict.pack,
                device: pack.header.log.device,
                doc: entry.doc(),
                change: entry.hash(),
                code,
                part,
            };
            if finding.content != 0 && finding.content != CODE_WAITS {
                let held = held(finding.content, HeldPart::Content);
                match self.replica.word_on(&held)? {
                    Word::Ours => ours.push(held),
                    Word::Administrators => administrators.push(held),
                    Word::Former => {}
                }
            }
            if finding.carrier != 0 {
                ours.push(held(finding.carrier, HeldPart::Carrier));
            }
        }
        Ok((ours, administrators))
    }

    /// The last packs of a device in every logbook: what a revocation leaves within.
    pub(crate) fn tips_of_device(&self, device: &DeviceId) -> Vec<(LogbookName, Tip)> {
        let mut tips: Vec<(LogbookName, Tip)> = Vec::new();
        for name in self.replica.logbooks() {
            let of_device = self.replica.tips(&name).into_iter().filter(|tip| tip.log.device == *device);
            tips.extend(of_device.map(|tip| (name.clone(), tip)));
        }
        tips
    }
}
