//! Statements of a hub: beacons and receipts, as they are and rightly signed.

use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::wire::Wire as _;

use super::reads_back;
use super::session::with_world;

pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => drop(reads_back::<SignedBeacon>(bytes)),
        1 => drop(reads_back::<SignedReceipt>(bytes)),
        2 => drop(reads_back::<Beacon>(bytes).map(beacon)),
        _ => drop(reads_back::<Receipt>(bytes).map(receipt)),
    }
}

fn beacon(beacon: Beacon) {
    with_world(|world| {
        let fold = world.hub.control().fold();
        let signed = SignedBeacon::sign(&world.org, &world.hub_key, beacon).unwrap();
        let verified = signed.verify_in(fold);
        assert_eq!(verified.is_ok(), beacon.hub == world.hub_id, "a hub signs for itself alone");
        assert!(!beacon.is_newer(&beacon, fold), "newer than itself");
        let newest = world.hub.newest_beacon().unwrap();
        assert!(!(beacon.is_newer(&newest, fold) && newest.is_newer(&beacon, fold)), "each newer than the other");
        assert!(beacon == newest || beacon.is_newer(&newest, fold) || newest.is_newer(&beacon, fold), "no order");
    });
}

fn receipt(receipt: Receipt) {
    with_world(|world| {
        let fold = world.hub.control().fold();
        let signed = SignedReceipt::sign(&world.org, &world.hub_key, receipt.clone()).unwrap();
        let counts = signed.verify_in(fold);
        assert_eq!(counts.is_ok(), receipt.hub == world.hub_id);
        if let Verdict::Held(held) = &receipt.verdict {
            assert!(held.iter().all(|(change, _)| !receipt.is_passed(change)), "held and passed");
        }
        if fold.receipt_counts(&receipt, &world.epoch) {
            assert!(fold.contained_commit(&world.epoch, &receipt.epoch).is_some(), "of an epoch that is not contained");
        }
    });
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: Vec<u8>| [&[kind], bytes.as_slice()].concat();
    with_world(|world| {
        let newest = world.hub.newest_beacon().unwrap();
        let packs = world.packs.iter().map(|pack| pack.hash(&world.org)).collect();
        let passed = Receipt { hub: world.hub_id, epoch: world.epoch, commit: 9, packs, verdict: Verdict::Passed };
        let change = world.changes[0].hash();
        let held = Receipt { verdict: Verdict::Held([(change, 60), (change, 61)].into()), ..passed.clone() };
        let sign =
            |receipt: &Receipt| SignedReceipt::sign(&world.org, &world.hub_key, receipt.clone()).unwrap().encode();
        vec![
            of(0, SignedBeacon::sign(&world.org, &world.hub_key, newest).unwrap().encode()),
            of(1, sign(&passed)),
            of(1, sign(&held)),
            of(2, newest.encode()),
            of(2, Beacon { epoch: qianmo_protocol::ids::Epoch([9; 16]), sequence: 1, ..newest }.encode()),
            of(3, passed.encode()),
            of(3, held.encode()),
        ]
    })
}
