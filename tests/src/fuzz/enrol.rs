//! A new tablet's request and the hub's answer.

use ed25519_dalek::SigningKey;
use qianmo_protocol::control::Replaces;
use qianmo_protocol::handshake::Token;
use qianmo_protocol::handshake::enrol::NAME_BYTES_MAX;
use qianmo_protocol::handshake::{
    EnrolAsk, EnrolRefusal, EnrolReply, EnrolRequest, EnrolWelcome, key_of_spki, pkcs8_of_seed, seed_of_pkcs8,
    spki_contents,
};
use qianmo_protocol::ids::{HubId, OrgId};
use qianmo_protocol::wire::Wire as _;

use super::reads_back;
use super::script::Script;
use crate::world::station;

const ORG: OrgId = OrgId([3; 16]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 6 {
        0 => drop(reads_back::<EnrolAsk>(bytes)),
        1 => {
            if let Some(request) = reads_back::<EnrolRequest>(bytes)
                && let Ok(ask) = request.verify(&ORG)
            {
                assert!(ask.label.as_ref().is_none_or(|label| label.len() <= NAME_BYTES_MAX));
            }
        }
        2 => drop(reads_back::<EnrolReply>(bytes)),
        3 => drop(reads_back::<EnrolWelcome>(bytes)),
        4 => asked(Script::new(bytes)),
        _ => keys(bytes),
    }
}

/// A request that is rightly signed, whatever it says; and the same with one byte turned.
fn asked(mut script: Script<'_>) {
    let new = key(script.byte() % 4);
    let replaces = (script.below(2) == 1).then(|| {
        let old = key(script.byte() % 4);
        Replaces::by_old_key(&ORG, &old, new.verifying_key().as_bytes())
    });
    let at = script.u16();
    let label = script.text();
    let request = EnrolRequest::sign(&ORG, &new, Token([9; 16]), Some(&label), replaces).unwrap();
    let encoded = request.encode();
    let read = reads_back::<EnrolRequest>(&encoded).unwrap();
    let ask = read.verify(&ORG).unwrap();
    assert!(label.starts_with(ask.label.as_deref().unwrap_or_default()), "another label");
    assert!(ask.replaces.as_ref().is_none_or(|replaces| replaces.proves(&ORG, &ask.device_key)));
    assert!(read.verify(&OrgId([4; 16])).is_err(), "good in another organisation");
    let mut turned = encoded.clone();
    let at = usize::from(at) % turned.len();
    turned[at] ^= 1;
    if let Ok(other) = EnrolRequest::decode(&turned) {
        assert!(other.verify(&ORG).is_err(), "a turned bit at {at} of {} verifies", encoded.len());
    }
}

fn keys(bytes: &[u8]) {
    if let Some(key) = key_of_spki(bytes) {
        assert_eq!(spki_contents(&key), bytes);
    }
    if let Some(seed) = seed_of_pkcs8(bytes) {
        assert_eq!(seed_of_pkcs8(&pkcs8_of_seed(&seed)), Some(seed));
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: Vec<u8>| [&[kind], bytes.as_slice()].concat();
    let new = key(1);
    let replaces = Replaces::by_old_key(&ORG, &key(2), new.verifying_key().as_bytes());
    let request = EnrolRequest::sign(&ORG, &new, Token([9; 16]), Some("平板一号"), Some(replaces)).unwrap();
    let welcome = EnrolWelcome {
        device_certificate: vec![0x30; 12],
        authority_certificate: vec![0x31; 12],
        org: ORG,
        authority_key: [7; 32],
        hub: HubId([8; 8]),
        station: station(),
        persons: vec![station()],
        org_name: "平谷区".to_owned(),
        control_entries: vec![vec![1, 2, 3]],
    };
    let ask = request.verify(&ORG).unwrap().clone();
    vec![
        of(0, ask.encode()),
        of(0, EnrolAsk { label: None, replaces: None, ..ask }.encode()),
        of(1, request.encode()),
        of(2, EnrolReply::Welcome(Box::new(welcome.clone())).encode()),
        of(2, EnrolReply::Refused(EnrolRefusal::Busy).encode()),
        of(3, welcome.encode()),
        of(4, b"\x01\x01\x02\x00\x10\x09tablet \xe5\xb9\xb3".to_vec()),
        of(5, spki_contents(&[6; 32])),
        of(5, pkcs8_of_seed(&[6; 32])),
    ]
}
