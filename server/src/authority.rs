//! The organisation's certificate authority: one Ed25519 key, made at `init`, that names the organisation, its hubs and
//! its devices.
//!
//! Certificates say nothing but "this key belongs to this organisation, as a device" or "as a hub". Who a device is, and
//! whether it may still talk, stands in the control log; so they are as small as X.509 allows, live for a hundred years,
//! and are never renewed or revoked (R13). A certificate is a function of the authority's key and the subject's: it can be
//! issued again at any time with the same bytes, and only keys are stored.
//!
//! # Invariants
//!
//! 1. A device's certificate cannot serve as a hub's, nor the reverse: each carries one extended key usage
//!    (`device_certificate_cannot_serve_as_a_hub`, in `tests`).
//! 2. Key files are created with mode 0600, never overwritten, and not used when others may read them.
//!
//! # Failure
//!
//! [`AuthorityError`]: the operator acts.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer as _, SigningKey};
use qianmo_protocol::handshake::{AUTHORITY_NAME, pkcs8_of_seed, seed_of_pkcs8};
use qianmo_protocol::ids::{DeviceId, OrgId, digest32};
use rand::CryptoRng;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PKCS_ED25519,
    PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use zeroize::Zeroizing;

/// Bytes of a key file: an unencrypted PKCS #8 Ed25519 key.
const KEY_FILE_BYTES: usize = 48;
pub(crate) const AUTHORITY_KEY_FILE: &str = "authority.key";
const SERVER_KEY_FILE: &str = "server-tls.key";
const VALID_FROM_YEAR: i32 = 2020;
const VALID_UNTIL_YEAR: i32 = 2120;

/// Why keys or certificates could not be made, kept or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file could not be read or written.
    #[error("cannot {action} the key file {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key stands there already; keys are never overwritten.
    #[error("the key file {} exists already; this folder was initialised before", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("the key file {} has mode {mode:o}, so others may read it; run chmod 600 on it", path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no Ed25519 key; restore it from the backup.
    #[error("the key file {} holds {have} bytes that are no Ed25519 key in PKCS #8; restore it from the backup", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Bytes found.
        have: usize,
    },
    /// The certificate could not be built.
    #[error("cannot build the {subject} certificate")]
    Certificate {
        /// Whose.
        subject: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// The organisation's authority. Whoever has its key is the organisation.
pub struct Authority {
    key: SigningKey,
    certificate: Vec<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("org", &self.org()).finish_non_exhaustive()
    }
}

/// What a hub shows in TLS: its leaf certificate and the key to it.
#[derive(Clone)]
pub struct ServerIdentity {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its key; used for nothing else.
    pub key: SigningKey,
}

impl std::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerIdentity").field("certificate_bytes", &self.certificate.len()).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new organisation.
    ///
    /// # Errors
    /// [`AuthorityError::Certificate`].
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, AuthorityError> {
        Self::from_key(new_key(rng))
    }

    /// The organisation of this key.
    ///
    /// # Errors
    /// [`AuthorityError::Certificate`].
    pub fn from_key(key: SigningKey) -> Result<Self, AuthorityError> {
        let mut params = params(&key.verifying_key().to_bytes(), AUTHORITY_NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let failed = |source| AuthorityError::Certificate { subject: "authority", source };
        let certificate = params.self_signed(&CertificateKey(&key)).map_err(failed)?.der().to_vec();
        Ok(Self { key, certificate })
    }

    /// Writes the key into a folder that has none.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`], [`AuthorityError::Io`].
    pub fn save(&self, folder: &Path) -> Result<(), AuthorityError> {
        save_key(folder, AUTHORITY_KEY_FILE, &self.key)
    }

    /// Reads the key from a folder.
    ///
    /// # Errors
    /// [`AuthorityError::Io`], [`AuthorityError::TooOpen`], [`AuthorityError::Corrupt`].
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        Self::from_key(load_key(folder, AUTHORITY_KEY_FILE)?)
    }

    /// The organisation.
    #[must_use]
    pub fn org(&self) -> OrgId {
        OrgId::from_authority_key(&self.public_key())
    }

    /// The public key: what tablets pin.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// The key itself, for naming hubs in the control log.
    #[must_use]
    pub const fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The authority's own certificate, DER. It never travels in TLS: both ends know the key.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The certificate of a device that proved to hold this key, DER. The same key gets the same bytes.
    ///
    /// # Errors
    /// [`AuthorityError::Certificate`].
    pub fn issue_device(&self, device_key: &[u8; 32]) -> Result<Vec<u8>, AuthorityError> {
        self.issue("device", "D", device_key, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A hub's TLS identity with a new key.
    ///
    /// # Errors
    /// [`AuthorityError::Certificate`].
    pub fn issue_server(&self, rng: &mut impl CryptoRng) -> Result<ServerIdentity, AuthorityError> {
        self.server_identity(new_key(rng))
    }

    /// A hub's TLS identity with the key stored in a folder, which is made when there is none.
    ///
    /// # Errors
    /// As [`Authority::load`] and [`Authority::save`].
    pub fn load_or_issue_server(
        &self,
        folder: &Path,
        rng: &mut impl CryptoRng,
    ) -> Result<ServerIdentity, AuthorityError> {
        match load_key(folder, SERVER_KEY_FILE) {
            Ok(key) => self.server_identity(key),
            Err(AuthorityError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let identity = self.issue_server(rng)?;
                save_key(folder, SERVER_KEY_FILE, &identity.key)?;
                Ok(identity)
            }
            Err(error) => Err(error),
        }
    }

    fn server_identity(&self, key: SigningKey) -> Result<ServerIdentity, AuthorityError> {
        let public = key.verifying_key().to_bytes();
        let certificate = self.issue("hub", "H", &public, ExtendedKeyUsagePurpose::ServerAuth)?;
        Ok(ServerIdentity { certificate, key })
    }

    fn issue(
        &self,
        subject: &'static str,
        common_name: &str,
        key: &[u8; 32],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Vec<u8>, AuthorityError> {
        let issuer_params = params(&self.public_key(), AUTHORITY_NAME);
        let issuer = Issuer::from_params(&issuer_params, CertificateKey(&self.key));
        let mut leaf = params(key, common_name);
        leaf.extended_key_usages = vec![usage];
        let issued = leaf.signed_by(&SubjectKey(*key), &issuer);
        issued
            .map(|certificate| certificate.der().to_vec())
            .map_err(|source| AuthorityError::Certificate { subject, source })
    }
}

/// What all certificates have in common: a name, a validity that never matters, a serial number from the key.
fn params(key: &[u8; 32], common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = rcgen::date_time_ymd(VALID_FROM_YEAR, 1, 1);
    params.not_after = rcgen::date_time_ymd(VALID_UNTIL_YEAR, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(&serial(key, common_name)));
    params
}

/// A positive number of eight bytes. A device's is close to its id, for whoever looks at a certificate.
fn serial(key: &[u8; 32], common_name: &str) -> [u8; 8] {
    let [first, rest @ ..] = match common_name {
        "D" => DeviceId::from_key(key).0,
        other => {
            let [a, b, c, d, e, f, g, h, ..] = digest32("qianmo serial v1", &[other.as_bytes(), key]);
            [a, b, c, d, e, f, g, h]
        }
    };
    let mut serial = [(first & 0x7f) | 0x40; 8];
    for (to, from) in serial.iter_mut().skip(1).zip(rest) {
        *to = from;
    }
    serial
}

fn new_key(rng: &mut impl CryptoRng) -> SigningKey {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut());
    SigningKey::from_bytes(&seed)
}

fn save_key(folder: &Path, name: &str, key: &SigningKey) -> Result<(), AuthorityError> {
    let path = folder.join(name);
    let failed = |source: std::io::Error| {
        let path = path.clone();
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            AuthorityError::Exists { path }
        } else {
            AuthorityError::Io { action: "write", path, source }
        }
    };
    let der = Zeroizing::new(pkcs8_of_seed(key.as_bytes()));
    let mut file = create_private(&path).map_err(failed)?;
    file.write_all(&der).and_then(|()| file.sync_all()).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn load_key(folder: &Path, name: &str) -> Result<SigningKey, AuthorityError> {
    let path = folder.join(name);
    let failed = |source| AuthorityError::Io { action: "read", path: path.clone(), source };
    let file = File::open(&path).map_err(failed)?;
    if let Some(mode) = open_to_others(&file).map_err(failed)? {
        return Err(AuthorityError::TooOpen { path, mode });
    }
    let mut der = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES * 2));
    let limit = u64::try_from(KEY_FILE_BYTES * 2).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut der).map_err(failed)?;
    let seed = seed_of_pkcs8(&der).map(Zeroizing::new);
    let seed = seed.ok_or_else(|| AuthorityError::Corrupt { path: path.clone(), have: der.len() })?;
    Ok(SigningKey::from_bytes(&seed))
}

/// The permission bits, if they let anyone but the owner in.
#[cfg(unix)]
fn open_to_others(file: &File) -> std::io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn open_to_others(_file: &File) -> std::io::Result<Option<u32>> {
    Ok(None)
}

/// The public key of a certificate's subject.
struct SubjectKey([u8; 32]);

impl PublicKeyData for SubjectKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// The authority's key as the certificate builder wants it.
struct CertificateKey<'a>(&'a SigningKey);

impl PublicKeyData for CertificateKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_ref().as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for CertificateKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn certificates_are_small_and_the_same_whenever_issued() {
        let authority = Authority::generate(&mut StdRng::seed_from_u64(1)).unwrap();
        let device = authority.issue_device(&[7; 32]).unwrap();
        assert_eq!(authority.issue_device(&[7; 32]).unwrap(), device);
        assert_ne!(authority.issue_device(&[8; 32]).unwrap(), device);
        assert!(device.len() <= 256, "{} bytes", device.len());
        let hub = authority.issue_server(&mut StdRng::seed_from_u64(2)).unwrap();
        assert!(hub.certificate.len() <= 256, "{} bytes", hub.certificate.len());
    }

    /// The bytes that tablets in the field hold: a change of them would be a change of the wire.
    #[test]
    fn device_certificate_keeps_its_bytes() {
        let authority = Authority::from_key(SigningKey::from_bytes(&[1; 32])).unwrap();
        let device_key = SigningKey::from_bytes(&[3; 32]).verifying_key().to_bytes();
        let certificate = authority.issue_device(&device_key).unwrap();
        let hex = data_encoding::HEXLOWER.encode(&certificate);
        let golden = "3081eb30819ea00302010202086c6184136399165d300506032b65703011310f300d06035504030c065169616e6d6f\
                      3020170d3230303130313030303030305a180f32313230303130313030303030305a300c310a300806035504030c01\
                      44302a300506032b6570032100ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1a317\
                      301530130603551d25040c300a06082b06010505070302300506032b65700341009f6e3bf5c9b62409ad9207bafc14\
                      200403fcd8a91027c2e7bcaef14c9e62fcaaf91c8afabd3e39586bfe5073ac08d2ba0b1ada9eb71803e2dca199ede8\
                      d5e20b";
        assert_eq!(hex, golden);
    }

    #[test]
    fn authority_read_back_from_its_folder_is_the_same_organisation() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate(&mut StdRng::seed_from_u64(1)).unwrap();
        authority.save(folder.path()).unwrap();
        let again = Authority::load(folder.path()).unwrap();
        assert_eq!(again.org(), authority.org());
        assert_eq!(again.certificate(), authority.certificate());
        assert!(matches!(authority.save(folder.path()), Err(AuthorityError::Exists { .. })));

        let first = again.load_or_issue_server(folder.path(), &mut StdRng::seed_from_u64(2)).unwrap();
        let second = again.load_or_issue_server(folder.path(), &mut StdRng::seed_from_u64(3)).unwrap();
        assert_eq!(first.certificate, second.certificate);
    }

    #[cfg(unix)]
    #[test]
    fn key_file_that_others_may_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Authority::generate(&mut StdRng::seed_from_u64(1)).unwrap().save(folder.path()).unwrap();
        let path = folder.path().join(AUTHORITY_KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Authority::load(folder.path()), Err(AuthorityError::TooOpen { mode: 0o640, .. })));
    }

    #[test]
    fn damaged_key_file_is_a_typed_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Authority::load(folder.path());
        assert!(matches!(missing, Err(AuthorityError::Io { action: "read", .. })));
        let mut file = create_private(&folder.path().join(AUTHORITY_KEY_FILE)).unwrap();
        file.write_all(&[1; 47]).unwrap();
        assert!(matches!(Authority::load(folder.path()), Err(AuthorityError::Corrupt { have: 47, .. })));
    }
}
