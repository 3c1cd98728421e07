//! TLS and transport settings of the hub.
//!
//! TLS 1.3 only, Ed25519 only, no early data, no session tickets (R12). A client certificate is asked for but not
//! demanded here, because a new tablet has none; the protocol of the connection decides afterwards.
//!
//! # Limits
//!
//! The window consts bound what one connection can make the hub hold.

use std::sync::Arc;
use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{
    ALPN_ENROL, ALPN_SESSION, AUTHORITY_NAME_DER, CERTIFICATE_TIME_SECONDS, key_of_spki, pkcs8_of_seed, spki_contents,
};
use quinn::{IdleTimeout, TransportConfig, ValidationTokenConfig, VarInt};
use quinn_proto::crypto::rustls::QuicServerConfig;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, Der, PrivatePkcs8KeyDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore, SignatureScheme,
};

use crate::authority::ServerIdentity;
use crate::listener::tokens::UsedTokens;
use crate::listener::{ListenError, ListenerConfig};

/// Most bytes of one stream that wait to be read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Most bytes of one connection that wait to be read.
const CONNECTION_WINDOW_BYTES: u32 = 384 * 1024;
/// Most bytes of one connection that wait to be acknowledged.
const SEND_WINDOW_BYTES: u64 = 512 * 1024;
/// Streams that every connection needs: that of the session, or of the enrolment.
const STREAMS: u32 = 1;
/// A connection without a datagram for so long is dead.
const IDLE_TIMEOUT_MS: u32 = 30_000;
/// Most bytes that are kept of all attempts together while they wait for a decision.
const INCOMING_BUFFER_BYTES_TOTAL: u64 = 8 * 1024 * 1024;
/// Most bytes that are kept of one attempt.
const INCOMING_BUFFER_BYTES: u64 = 16 * 1024;
/// Most bytes of TLS messages that wait for a gap to be filled.
const CRYPTO_BUFFER_BYTES: usize = 8 * 1024;
/// How long an address token is good.
const TOKEN_LIFETIME: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A close code as QUIC wants it.
pub(crate) fn number(code: CloseCode) -> VarInt {
    VarInt::from_u32(code.number())
}

/// The device key in a certificate that TLS already found good.
pub(crate) fn device_key(certificates: &[CertificateDer<'_>]) -> Option<[u8; 32]> {
    let leaf = ParsedCertificate::try_from(certificates.first()?).ok()?;
    key_of_spki(&leaf.subject_public_key_info())
}

pub(crate) fn server_config(
    config: &ListenerConfig,
    authority_key: &[u8; 32],
    identity: &ServerIdentity,
) -> Result<quinn::ServerConfig, ListenError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = DeviceVerifier::new(authority_key, &provider).map_err(ListenError::Identity)?;
    let certificate = CertificateDer::from(identity.certificate.clone());
    let key = PrivatePkcs8KeyDer::from(pkcs8_of_seed(identity.key.as_bytes()));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ListenError::Identity)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![certificate], key.into())
        .map_err(ListenError::Identity)?;
    tls.alpn_protocols = vec![ALPN_SESSION.to_vec(), ALPN_ENROL.to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;

    let crypto = QuicServerConfig::try_from(tls).map_err(ListenError::Tls)?;
    let mut quic = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(1).lifetime(TOKEN_LIFETIME).log(Arc::new(UsedTokens::default()));
    quic.transport_config(Arc::new(transport(config)))
        .validation_token_config(tokens)
        .max_incoming(config.incoming_max)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_BYTES_TOTAL);
    Ok(quic)
}

/// MTU discovery stays off: on a short session its probes cost more than the day's records.
fn transport(config: &ListenerConfig) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS.saturating_add(config.blob_streams_max)))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(None);
    transport
}

/// Takes certificates that this organisation's authority issued to devices, at any time of day.
#[derive(Debug)]
struct DeviceVerifier {
    inner: Arc<dyn ClientCertVerifier>,
}

impl DeviceVerifier {
    fn new(authority_key: &[u8; 32], provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let anchor = TrustAnchor {
            subject: Der::from_slice(AUTHORITY_NAME_DER),
            subject_public_key_info: Der::from(spki_contents(authority_key)),
            name_constraints: None,
        };
        let roots = Arc::new(RootCertStore { roots: vec![anchor] });
        let inner = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { inner })
    }
}

impl ClientCertVerifier for DeviceVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let always = UnixTime::since_unix_epoch(Duration::from_secs(CERTIFICATE_TIME_SECONDS));
        if !intermediates.is_empty() || device_key(std::slice::from_ref(end_entity)).is_none() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        self.inner.verify_client_cert(end_entity, intermediates, always)
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
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
