//! What an app's bundle carries beside the packs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "test harness: a failed step is the failure; the hub is shared with other tests"
)]

#[path = "support/hub.rs"]
mod hub;

use std::time::Duration;

use hub::{World, visit};
use qianmo_client_core::{BundleRequest, BundleScope, BundleTo};
use qianmo_protocol::bundle::BundlePart;
use qianmo_protocol::control::Role;
use qianmo_replica::bundle::{OpenKey, OpenedBundle};

/// A hub that was restored must not judge again what its own signature passed, also when a file brings it (A2).
#[tokio::test]
async fn bundle_carries_the_hubs_receipts_before_the_packs_they_name() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    tablet.create(visit("查看越冬情况")).await.unwrap();
    assert!(tablet.sync_now(Duration::from_secs(20)).await.unwrap().complete);
    tablet.create(visit("还没有送出去的")).await.unwrap();
    let path = dir.path().join("all.qmb");
    let request = BundleRequest { file: path.clone(), to: BundleTo::Tablet, what: BundleScope::Everything };
    let made = tablet.export_bundle(request).await.unwrap();
    let key = OpenKey::Passphrase(made.passphrase.unwrap());
    let mut bundle = OpenedBundle::open(std::fs::File::open(&path).unwrap(), &key).unwrap();
    let mut order = Vec::new();
    let mut named = Vec::new();
    let org = world.hub().org;
    while let Some(part) = bundle.next_part().unwrap() {
        match part {
            BundlePart::Receipt(receipt) => {
                named.extend(receipt.content().packs.iter().copied());
                order.push('r');
            }
            BundlePart::Pack(pack) => {
                assert_eq!(named.contains(&pack.hash(&org)), order.iter().filter(|part| **part == 'p').count() == 0);
                order.push('p');
            }
            BundlePart::Control(_) | BundlePart::Beacon(_) => assert_eq!(order, []),
        }
    }
    assert_eq!(order, ['r', 'p', 'p'], "the first pack has a receipt, the second has none yet");
}
