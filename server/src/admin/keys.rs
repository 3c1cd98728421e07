//! The hub's own keys in files: signing, device, bundle. Each is 32 random bytes, readable by its owner alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use qianmo_protocol::handshake::{pkcs8_of_seed, seed_of_pkcs8};
use rand::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::authority::AUTHORITY_KEY_FILE;
use crate::hub::HubSecrets;

const SIGNING_FILE: &str = "hub.key";
const DEVICE_FILE: &str = "device.key";
const BUNDLE_FILE: &str = "bundle.key";
const KEY_BYTES_MAX: u64 = 128;
/// What stands before the seed of an X25519 key in PKCS #8 (RFC 8410): as for Ed25519, with the other algorithm's number.
const X25519_OID_LAST: u8 = 0x6e;
const OID_LAST_AT: usize = 11;

/// Why the hub's keys cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system refuses.
    #[error("cannot {action} the key file {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key file {} has mode {mode:o}, so others may read it; run chmod 600 on it", path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no key.
    #[error("the key file {} holds no key; restore it from the backup", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
    },
}

/// The hub's keys, read from its folder.
pub struct HubKeyFiles {
    /// Signing and device key, and the public bundle key.
    pub secrets: HubSecrets,
    /// Opens bundles.
    pub bundle: StaticSecret,
}

impl core::fmt::Debug for HubKeyFiles {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HubKeyFiles").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

impl HubKeyFiles {
    /// Makes and saves new keys.
    pub(super) fn generate(folder: &Path, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        for name in [SIGNING_FILE, DEVICE_FILE, BUNDLE_FILE] {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(seed.as_mut());
            save(folder, name, &seed)?;
        }
        crate::admin::folder::sync_folder(folder).map_err(|source| KeyError::Io {
            action: "write",
            path: folder.to_owned(),
            source,
        })?;
        Self::load(folder)
    }

    /// Reads the keys of a hub.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(folder: &Path) -> Result<Self, KeyError> {
        let signing = SigningKey::from_bytes(&*load(folder, SIGNING_FILE)?);
        let device = SigningKey::from_bytes(&*load(folder, DEVICE_FILE)?);
        let bundle = StaticSecret::from(*load(folder, BUNDLE_FILE)?);
        let bundle_public = PublicKey::from(&bundle).to_bytes();
        Ok(Self { secrets: HubSecrets { signing, device, bundle_public }, bundle })
    }
}

/// The authority's key and the hub's, from wherever they lie: a backup's disk may know no owners.
pub(super) fn read_all(path_of: impl Fn(&str) -> PathBuf) -> Result<(SigningKey, HubSecrets), KeyError> {
    let seed = |name: &str| {
        let path = path_of(name);
        let failed = |source| KeyError::Io { action: "read", path: path.clone(), source };
        read_seed(name, &path, File::open(&path).map_err(failed)?)
    };
    let signing = SigningKey::from_bytes(&*seed(SIGNING_FILE)?);
    let device = SigningKey::from_bytes(&*seed(DEVICE_FILE)?);
    let bundle_public = PublicKey::from(&StaticSecret::from(*seed(BUNDLE_FILE)?)).to_bytes();
    let authority = SigningKey::from_bytes(&*seed(AUTHORITY_KEY_FILE)?);
    Ok((authority, HubSecrets { signing, device, bundle_public }))
}

/// Both kinds of key have the same shape in PKCS #8 and differ in one byte of the algorithm's number.
fn with_algorithm(name: &str, mut der: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if name == BUNDLE_FILE
        && let Some(byte) = der.get_mut(OID_LAST_AT)
    {
        *byte ^= X25519_OID_LAST ^ 0x70;
    }
    der
}

fn save(folder: &Path, name: &str, seed: &[u8; 32]) -> Result<(), KeyError> {
    let path = folder.join(name);
    let der = with_algorithm(name, Zeroizing::new(pkcs8_of_seed(seed)));
    let written = create_new(&path).and_then(|mut file| file.write_all(&der).and_then(|()| file.sync_all()));
    written.map_err(|source| KeyError::Io { action: "write", path, source })
}

#[cfg(unix)]
fn create_new(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn load(folder: &Path, name: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let path = folder.join(name);
    let failed = |source| KeyError::Io { action: "read", path: path.clone(), source };
    let file = File::open(&path).map_err(failed)?;
    if let Some(mode) = open_to_others(&file).map_err(failed)? {
        return Err(KeyError::TooOpen { path, mode });
    }
    read_seed(name, &path, file)
}

fn read_seed(name: &str, path: &Path, file: File) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut der = Zeroizing::new(Vec::new());
    let read = file.take(KEY_BYTES_MAX).read_to_end(&mut der);
    read.map_err(|source| KeyError::Io { action: "read", path: path.to_owned(), source })?;
    let der = with_algorithm(name, der);
    seed_of_pkcs8(&der).map(Zeroizing::new).ok_or_else(|| KeyError::Corrupt { path: path.to_owned() })
}

#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn open_to_others(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_key_is_written_as_an_x25519_key() {
        let der = with_algorithm(BUNDLE_FILE, Zeroizing::new(pkcs8_of_seed(&[7; 32])));
        // 1.3.101.110, RFC 8410; Ed25519 is 1.3.101.112.
        assert_eq!(&der[9..12], [0x2b, 0x65, 0x6e]);
        assert_eq!(seed_of_pkcs8(&der), None);
        assert_eq!(seed_of_pkcs8(&with_algorithm(BUNDLE_FILE, der)), Some([7; 32]));
    }
}
