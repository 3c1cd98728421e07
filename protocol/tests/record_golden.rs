//! The bytes of a first change, an edit, a resolve and a review event. A change of format shows here first.
//!
//! If one of these differs, the wire format has changed: raise the version, keep the old bytes readable, and say so in
//! `docs/wire.md` and the changelog.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

#[path = "record_support.rs"]
mod record_support;

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::{RawChange, Scalar};
use qianmo_protocol::ids::{Code, DocId};
use qianmo_protocol::record::FieldEdit;
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::time::UnixMillis;
use record_support::{LOGBOOK, ROW, Tablet, cell, field, first, origin, text};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn same(change: &RawChange, golden: &str) {
    let golden: String = golden.split_whitespace().collect();
    assert_eq!(hex(change.bytes()), golden);
}

fn event(first: &RawChange, heads: &RawChange) -> RawChange {
    let event = ReviewEvent {
        record: first.doc_id_if_root().unwrap(),
        logbook: LOGBOOK,
        kind: ReviewKind::Return,
        heads: BTreeSet::from([heads.hash()]),
        seen: BTreeSet::from([DocId([0x51; 16]), DocId([0x52; 16])]),
        reasons: BTreeSet::from([Code::new("R01").unwrap(), Code::new("R07").unwrap()]),
        field_notes: BTreeMap::from([
            (field("crop"), "哪个品种".to_owned()),
            (cell(ROW, "pest"), "请补照片".to_owned()),
        ]),
        note: "请补充".to_owned(),
        provenance: Provenance::Written,
        person: Code::new("P07").unwrap(),
        time: UnixMillis(1_750_000_300_000),
    };
    let change = event.author(&origin(7, "P07", 1_750_000_300_000)).unwrap().change;
    assert_eq!(ReviewEvent::from_change(&change).unwrap(), event);
    change
}

#[test]
fn bytes_of_documents_are_the_golden_ones() {
    let first = first(1);
    same(&first, FIRST);
    let mut a = Tablet::new(&first, 2, "P02");
    let mut b = Tablet::new(&first, 3, "P03");
    a.clock = 1_750_000_100_000;
    let edit = a
        .edit(&[FieldEdit::Set(field("crop"), text("桃")), FieldEdit::Set(cell(ROW, "count"), Scalar::Int(-7))])
        .unwrap();
    same(&edit, EDIT);
    b.set(field("crop"), text("梨"));
    a.take(&b.doc);
    same(&a.resolve(field("crop"), text("杏")), RESOLVE);
    same(&event(&first, &edit), REVIEW);
}

const FIRST: &str = "\
    856f4a83e3e1bb5101d801001001010101010101010101010101010101010180b883a1f7320000080108020b15403401420a5610 \
    573670020008020000010400000802080001020b7e0d0e71016b016601760173016c01610174016404617265610463726f700172 \
    0670686f746f7305706c6f7473103131313131313131313131313131313104706573740f07017f00020104007f01766656144687 \
    02366400146604007f667265636f7264766973697403535430314c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c50303180b883a1f7320c \
    e88bb9e69e9ce89a9ce899ab0f000103503031";
const EDIT: &str = "\
    856f4a838b53c1b201890101e3e1bb514fdd4e701118a9be71f4e86cee6651acb1d35ca2ea48cb174d5519631002020202020202 \
    0202020202020202020110a1c589a1f732000110010101010101010101010101010101010a01020203150c340142025603570470 \
    037102730202017e080e7e0463726f7005636f756e740202017e3614e6a183797e01007f017f0a0103503032";
const RESOLVE: &str = "\
    856f4a831e91288701c102025592011bcc073985f2eb5b41e33e754fd49b491fa7dfc156796f5444e239c8ed8b53c1b2b3e338dc \
    4a069da94f5b6882a4a126b55e62235f22d9b5a97b77dc6810020202020202020202020202020202020212a2c589a1f732930172 \
    65736f6c766520310a660963726f7009353539323031316263633037333938356632656235623431653333653735346664343962 \
    34393166613764666331353637393666353434346532333963386564093862353363316232623365333338646334613036396461 \
    39346635623638383261346131323662353565363232333566323264396235613937623737646336380a02100101010101010101 \
    010101010101010110030303030303030303030303030303030a01020202150634014202560257037002710373037f017f087f04 \
    63726f70017f017f36e69d8f7f027e00027e1000";
const REVIEW: &str = "\
    856f4a83bd604f5901b0020010070707070707070707070707070707070101e0df95a1f732000008010402041519340142065614 \
    57bf017002000a0200000a020a74016b016401790168016c0174016501630178016e013001310c09017f00020174668702668704 \
    870264870476960100b602a605726576696577e3e1bb514fdd4e701118a9be71f4e86c72657475726e8b53c1b2b3e338dc4a069d \
    a94f5b6882a4a126b55e62235f22d9b5a97b77dc684c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4ce0df95a1f732515151515151515151 \
    515151515151515252525252525252525252525252525252303120523037e8afb7e8a1a5e58585660963726f700ae593aae4b8aa \
    e59381e7a78d7209706c6f7473093131313131313131313131313131313109706573740ae8afb7e8a1a5e785a7e789870c000103 \
    503037";
