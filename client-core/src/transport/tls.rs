//! TLS and transport settings of a device.
//!
//! TLS 1.3 only, Ed25519 only, no server name, no early data, no session tickets (R12). The ring provider is named here
//! and never installed for the whole process: the app around us may have another.
//!
//! # Limits
//!
//! The window consts bound what a hub can make the device hold. At 100 ms a stream still carries 5 MB/s.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use qianmo_protocol::handshake::{
    AUTHORITY_NAME_DER, CERTIFICATE_TIME_SECONDS, key_of_spki, pkcs8_of_seed, spki_contents,
};
use quinn::{IdleTimeout, TransportConfig, VarInt};
use quinn_proto::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, Der, PrivatePkcs8KeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore, SignatureScheme};

use crate::transport::{DeviceIdentity, IdentityError, Purpose};

/// Most bytes of one stream that wait to be read.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Most bytes of one connection that wait to be read.
const CONNECTION_WINDOW_BYTES: u32 = 768 * 1024;
/// Most bytes of one connection that wait to be acknowledged.
const SEND_WINDOW_BYTES: u64 = 512 * 1024;
/// A connection without a datagram for so long is dead.
const IDLE_TIMEOUT_MS: u32 = 30_000;
/// A subscribed connection sends something at least so often.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What the device shows.
pub(crate) enum ClientKey<'a> {
    /// Nothing: it has no certificate yet.
    Stranger,
    /// Its certificate.
    Certified(&'a DeviceIdentity),
}

pub(crate) fn client_config(
    authority_key: &[u8; 32],
    protocol: &[u8],
    key: ClientKey<'_>,
    purpose: Purpose,
) -> Result<quinn::ClientConfig, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = HubVerifier { roots: pinned(authority_key), provider: Arc::clone(&provider) };
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut tls = match key {
        ClientKey::Stranger => builder.with_no_client_auth(),
        ClientKey::Certified(identity) => {
            let certificate = CertificateDer::from(identity.certificate.clone());
            let key = PrivatePkcs8KeyDer::from(pkcs8_of_seed(identity.key.as_bytes()));
            builder.with_client_auth_cert(vec![certificate], key.into()).map_err(IdentityError::Unusable)?
        }
    };
    tls.alpn_protocols = vec![protocol.to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_sni = false;
    tls.enable_early_data = false;

    let crypto = QuicClientConfig::try_from(tls).map_err(IdentityError::Tls)?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(purpose)));
    Ok(config)
}

/// MTU discovery stays off: on a short session its probes cost more than the day's records.
fn transport(purpose: Purpose) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(None)
        .keep_alive_interval(match purpose {
            Purpose::Session => None,
            Purpose::Subscription => Some(KEEP_ALIVE),
        });
    transport
}

/// The pinned authority as the only root. Its name is the same for all; its key is what counts.
fn pinned(authority_key: &[u8; 32]) -> RootCertStore {
    let anchor = TrustAnchor {
        subject: Der::from_slice(AUTHORITY_NAME_DER),
        subject_public_key_info: Der::from(spki_contents(authority_key)),
        name_constraints: None,
    };
    RootCertStore { roots: vec![anchor] }
}

/// When certificates are judged: always at the same moment.
fn always() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(CERTIFICATE_TIME_SECONDS))
}

/// Whether a certificate is this organisation's, for a device with this key.
pub(crate) fn device_certificate_fits(certificate: &[u8], authority_key: &[u8; 32], key: &SigningKey) -> bool {
    let certificate = CertificateDer::from(certificate);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(pinned(authority_key)), provider).build();
    let is_ours = verifier.is_ok_and(|verifier| verifier.verify_client_cert(&certificate, &[], always()).is_ok());
    let public = ParsedCertificate::try_from(&certificate).ok().map(|parsed| parsed.subject_public_key_info());
    is_ours && public.and_then(|spki| key_of_spki(&spki)) == Some(key.verifying_key().to_bytes())
}

/// Takes a hub whose key the pinned authority certified, at any time of day and under any address.
#[derive(Debug)]
struct HubVerifier {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for HubVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Whatever is wrong with it, whoever shows it is not a hub of this organisation.
        let foreign = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if !intermediates.is_empty() {
            return Err(foreign());
        }
        let leaf = ParsedCertificate::try_from(end_entity).map_err(|_| foreign())?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, &[], always(), algorithms)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|_| foreign())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the authority with the seed of ones issued to the hub with the seed of twos, valid from 2020 to 2120.
    const HUB_CERTIFICATE: &str = "3081eb30819ea003020102020862d8c3be06b11ad0300506032b65703011310f300d06035504030c065169616e6d6f\
        3020170d3230303130313030303030305a180f32313230303130313030303030305a300c310a300806035504030c01\
        48302a300506032b65700321008139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394a317\
        301530130603551d25040c300a06082b06010505070301300506032b6570034100b633a535e97adb5dba398edf3972\
        170ea188e300996f6878d04a12a7a1e1b7af2f1f1b48b9cebd7a97d2675dab275cd085493030fbd7df00258bcbb31e\
        82330e";

    fn judged_at(seconds: u64, authority_seed: u8) -> Result<ServerCertVerified, Error> {
        let authority_key = SigningKey::from_bytes(&[authority_seed; 32]).verifying_key().to_bytes();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = HubVerifier { roots: pinned(&authority_key), provider };
        let certificate = CertificateDer::from(data_encoding::HEXLOWER.decode(HUB_CERTIFICATE.as_bytes()).unwrap());
        let name = ServerName::try_from("anything").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier.verify_server_cert(&certificate, &[], &name, &[], now)
    }

    #[test]
    fn hub_is_accepted_whatever_the_clock_says() {
        for seconds in [0, 1_751_299_199, 1 << 40] {
            assert!(judged_at(seconds, 1).is_ok(), "at {seconds}");
            assert!(judged_at(seconds, 4).is_err(), "another organisation's pin at {seconds}");
        }
    }

    #[test]
    fn only_a_subscription_keeps_its_connection_alive_and_in_time() {
        let keeps = |purpose| format!("{:?}", transport(purpose)).contains("keep_alive_interval: Some(20s)");
        assert!(keeps(Purpose::Subscription));
        assert!(!keeps(Purpose::Session));
        assert!(KEEP_ALIVE < Duration::from_millis(u64::from(IDLE_TIMEOUT_MS)));
    }

    #[test]
    fn hub_certificate_is_not_taken_for_a_device_certificate() {
        let certificate = data_encoding::HEXLOWER.decode(HUB_CERTIFICATE.as_bytes()).unwrap();
        let authority_key = SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
        assert!(!device_certificate_fits(&certificate, &authority_key, &SigningKey::from_bytes(&[2; 32])));
    }
}
