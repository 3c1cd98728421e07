//! The enrolment exchange: one request, one reply.
//!
//! The tablet proves that it holds the key it wants enrolled; the hub judges the token. The device certificate comes back
//! together with the control entries that prove the enrolment, so a fresh tablet can meet another with no hub.
//!
//! # Limits
//!
//! The consts of this module; [`ENROL_REPLY_BYTES_MAX`] bounds the whole reply, whatever its parts.

use ed25519_dalek::SigningKey;

use crate::control::{ENROL_PERSONS_MAX, Replaces, SignError, Signable, SignatureError, Signed};
use crate::handshake::ticket::Token;
use crate::ids::{DeviceId, HubId, OrgId, PersonCode, StationCode};
use crate::limits::{CONTROL_BODY_BYTES_MAX, CONTROL_ENTRIES_PER_MESSAGE_MAX};
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// Most bytes of a device's label and of an organisation's display name.
pub const NAME_BYTES_MAX: usize = 64;
/// Most bytes of one certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 2_048;
/// Most bytes of one encoded control entry: its body, its parents and what stands around them.
pub const CONTROL_ENTRY_BYTES_MAX: usize = CONTROL_BODY_BYTES_MAX + 4 * 1024;
/// Most bytes of a request.
pub const ENROL_REQUEST_BYTES_MAX: usize = 512;
/// Most bytes of a reply.
pub const ENROL_REPLY_BYTES_MAX: usize = 256 * 1024;

/// What a new tablet asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolAsk {
    /// The ticket's secret.
    pub token: Token,
    /// The public key to enrol.
    pub device_key: [u8; 32],
    /// What people call the device. Kept by the hub, never in the control log.
    pub label: Option<String>,
    /// The device whose store it took over (A15). Without a proof of its own, the ticket must name that device.
    pub replaces: Option<Replaces>,
}

impl EnrolAsk {
    /// The device this would be.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId::from_key(&self.device_key)
    }
}

impl Signable for EnrolAsk {
    const DOMAIN: &'static str = "qianmo enrol v1";
}

/// An [`EnrolAsk`] with the new key's signature. The ask comes out only through [`EnrolRequest::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolRequest(Signed<EnrolAsk>);

impl EnrolRequest {
    /// Makes and signs a request. A label is cut at [`NAME_BYTES_MAX`].
    ///
    /// # Errors
    /// [`SignError`] when a reader would refuse it.
    pub fn sign(
        org: &OrgId,
        key: &SigningKey,
        token: Token,
        label: Option<&str>,
        replaces: Option<Replaces>,
    ) -> Result<Self, SignError> {
        let label = label.map(|label| cut_text(label).to_owned());
        let ask = EnrolAsk { token, device_key: key.verifying_key().to_bytes(), label, replaces };
        Signed::sign(org, key, ask).map(Self)
    }

    /// What is asked, if the sender holds the key that is to be enrolled and meant this organisation and this content.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, org: &OrgId) -> Result<&EnrolAsk, SignatureError> {
        self.0.verify(org, &self.0.content().device_key)
    }
}

/// The longest start of a text that fits [`NAME_BYTES_MAX`] and ends between characters.
fn cut_text(text: &str) -> &str {
    (0..=NAME_BYTES_MAX).rev().find_map(|end| text.get(..end)).filter(|_| text.len() > NAME_BYTES_MAX).unwrap_or(text)
}

/// What the hub answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolReply {
    /// The device is enrolled.
    Welcome(Box<EnrolWelcome>),
    /// It is not.
    Refused(EnrolRefusal),
}

/// What an enrolled device gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolWelcome {
    /// The device's certificate, DER.
    pub device_certificate: Vec<u8>,
    /// The authority's certificate, DER.
    pub authority_certificate: Vec<u8>,
    /// The organisation.
    pub org: OrgId,
    /// The authority's public key; the same as in the ticket.
    pub authority_key: [u8; 32],
    /// The hub that answered.
    pub hub: HubId,
    /// Where the device belongs.
    pub station: StationCode,
    /// Who may write with it.
    pub persons: Vec<PersonCode>,
    /// What the organisation calls itself, at most [`NAME_BYTES_MAX`].
    pub org_name: String,
    /// Encoded control entries, parents first: at least those that prove the device's own enrolment.
    pub control_entries: Vec<Vec<u8>>,
}

/// Why a device was not enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum EnrolRefusal {
    /// The hub never gave out this token.
    #[error("the hub does not know this ticket")]
    UnknownToken,
    /// Another device used it already.
    #[error("the ticket was used already")]
    UsedToken,
    /// It is too old.
    #[error("the ticket has expired")]
    Expired,
    /// The signature is not by the key that was to be enrolled, or that key may not be enrolled.
    #[error("the device key was not accepted")]
    WrongKey,
    /// Try again later.
    #[error("the hub is busy")]
    Busy,
}

impl EnrolRefusal {
    /// Whether the same ticket may work later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Busy => true,
            Self::UnknownToken | Self::UsedToken | Self::Expired | Self::WrongKey => false,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::UnknownToken => 1,
            Self::UsedToken => 2,
            Self::Expired => 3,
            Self::WrongKey => 4,
            Self::Busy => 5,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::UnknownToken),
            2 => Some(Self::UsedToken),
            3 => Some(Self::Expired),
            4 => Some(Self::WrongKey),
            5 => Some(Self::Busy),
            _ => None,
        }
    }
}

impl Wire for EnrolAsk {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.token.0);
        writer.raw(&self.device_key);
        writer.option(self.label.as_ref(), |writer, label| writer.bytes(label.as_bytes()));
        writer.option(self.replaces.as_ref(), |writer, replaces| replaces.write(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            token: Token(reader.array("token")?),
            device_key: reader.array("device key")?,
            label: reader.option("label", |reader| Ok(reader.text("label", NAME_BYTES_MAX)?.to_owned()))?,
            replaces: reader.option("replaces", Replaces::read)?,
        })
    }
}

impl Wire for EnrolRequest {
    fn write(&self, writer: &mut Writer) {
        self.0.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Signed::read(reader).map(Self)
    }
}

impl Wire for EnrolReply {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Welcome(welcome) => {
                writer.u8(0);
                welcome.write(writer);
            }
            Self::Refused(reason) => writer.u8(reason.number()),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        match reader.u8("enrolment reply")? {
            0 => Ok(Self::Welcome(Box::new(EnrolWelcome::read(reader)?))),
            number => EnrolRefusal::from_number(number).map(Self::Refused).ok_or_else(|| DecodeError::Unknown {
                field: "enrolment reply",
                offset,
                have: u64::from(number),
            }),
        }
    }
}

impl Wire for EnrolWelcome {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.device_certificate);
        writer.bytes(&self.authority_certificate);
        writer.raw(self.org.as_bytes());
        writer.raw(&self.authority_key);
        writer.raw(self.hub.as_bytes());
        writer.code(&self.station);
        writer.list(&self.persons, |writer, person| writer.code(person));
        writer.bytes(self.org_name.as_bytes());
        writer.list(&self.control_entries, |writer, entry| writer.bytes(entry));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            device_certificate: reader.bytes("device certificate", CERTIFICATE_BYTES_MAX)?.to_vec(),
            authority_certificate: reader.bytes("authority certificate", CERTIFICATE_BYTES_MAX)?.to_vec(),
            org: OrgId(reader.array("organisation")?),
            authority_key: reader.array("authority key")?,
            hub: HubId(reader.array("hub")?),
            station: reader.code("station")?,
            persons: reader.list("persons", ENROL_PERSONS_MAX, |reader| reader.code("person"))?,
            org_name: reader.text("organisation's name", NAME_BYTES_MAX)?.to_owned(),
            control_entries: reader.list("control entries", CONTROL_ENTRIES_PER_MESSAGE_MAX, |reader| {
                Ok(reader.bytes("control entry", CONTROL_ENTRY_BYTES_MAX)?.to_vec())
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Code;

    const ORG: OrgId = OrgId([9; 16]);

    fn request(label: &str) -> EnrolRequest {
        let old = SigningKey::from_bytes(&[2; 32]);
        let key = SigningKey::from_bytes(&[1; 32]);
        let replaces = Replaces::by_old_key(&ORG, &old, &key.verifying_key().to_bytes());
        EnrolRequest::sign(&ORG, &key, Token([5; 16]), Some(label), Some(replaces)).unwrap()
    }

    fn welcome() -> EnrolReply {
        EnrolReply::Welcome(Box::new(EnrolWelcome {
            device_certificate: vec![1; 230],
            authority_certificate: vec![2; 260],
            org: ORG,
            authority_key: [3; 32],
            hub: HubId([4; 8]),
            station: Code::new("ST01").unwrap(),
            persons: vec![Code::new("E001").unwrap(), Code::new("E002").unwrap()],
            org_name: "平谷区科技小院".to_owned(),
            control_entries: vec![vec![7; 300], vec![8; 20]],
        }))
    }

    #[test]
    fn request_changed_after_signing_is_refused() {
        let request = request("果园一号平板");
        let ask = request.verify(&ORG).unwrap();
        assert_eq!(ask.device(), DeviceId::from_key(&ask.device_key));
        assert_eq!(request.verify(&OrgId([8; 16])), Err(SignatureError::DoesNotVerify));
        let bytes = request.encode();
        assert_eq!(EnrolRequest::decode(&bytes), Ok(request));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            if let Ok(read) = EnrolRequest::decode(&changed) {
                assert!(read.verify(&ORG).is_err(), "byte {at} is not covered");
            }
        }
    }

    #[test]
    fn largest_request_fits_its_limit_and_a_long_label_is_cut_between_characters() {
        let label = "平板".repeat(40);
        let request = request(&label);
        assert!(request.encode().len() <= ENROL_REQUEST_BYTES_MAX);
        let cut = request.verify(&ORG).unwrap().label.clone().unwrap();
        assert!(cut.len() <= NAME_BYTES_MAX && cut.len() > NAME_BYTES_MAX - 4 && label.starts_with(&cut));
        assert_eq!(EnrolRequest::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn replies_read_back_and_cut_ones_are_typed_errors() {
        let reasons = [
            EnrolRefusal::UnknownToken,
            EnrolRefusal::UsedToken,
            EnrolRefusal::Expired,
            EnrolRefusal::WrongKey,
            EnrolRefusal::Busy,
        ];
        for reply in reasons.map(EnrolReply::Refused).into_iter().chain([welcome()]) {
            let bytes = reply.encode();
            for end in 0..bytes.len() {
                assert!(matches!(EnrolReply::decode(&bytes[..end]), Err(DecodeError::Truncated { .. })), "{end}");
            }
            assert_eq!(EnrolReply::decode(&bytes), Ok(reply));
        }
        assert!(matches!(EnrolReply::decode(&[6]), Err(DecodeError::Unknown { have: 6, .. })));
    }

    proptest! {
        #[test]
        fn prop_enrolment_messages_of_any_bytes_never_panic_and_are_canonical(bytes: Vec<u8>) {
            if let Ok(request) = EnrolRequest::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Ok(reply) = EnrolReply::decode(&bytes) {
                prop_assert_eq!(reply.encode(), bytes);
            }
        }
    }
}
