//! Who this device is, on disk: its key, its certificate, its organisation.
//!
//! # Layout
//!
//! ```text
//! identity/pending.key          the key an enrolment is being asked for: 32 bytes, readable by the owner alone
//! identity/<device>.key         the key of an enrolled device, the same
//! identity/identity.json        everything else; names the device, and with it the key. Written last
//! ```
//!
//! # Invariants
//!
//! 1. A file is replaced by writing another, syncing it, renaming it and syncing the folder: it is old or new, never half.
//! 2. The key is durable before anyone is asked to enrol it, so an answer that was lost can be asked for again
//!    (`key_of_an_unfinished_enrolment_is_kept`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::SigningKey;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use qianmo_protocol::handshake::Address;
use qianmo_protocol::ids::{Code, DeviceId, HubId, OrgId, PersonCode, StationCode};
use qianmo_replica::disk::{make_folder, sync_names_above};

use crate::enroll::Enrolled;
use crate::transport::DeviceIdentity;

const FOLDER: &str = "identity";
const FILE: &str = "identity.json";
const PENDING: &str = "pending.key";
/// Most bytes of an identity file: the control entries of an enrolment are the most of it.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An enrolled device.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) device: DeviceId,
    pub(crate) connection: DeviceIdentity,
    pub(crate) authority_certificate: Vec<u8>,
    pub(crate) org: OrgId,
    pub(crate) org_name: String,
    pub(crate) hub: HubId,
    pub(crate) station: StationCode,
    pub(crate) persons: Vec<PersonCode>,
    pub(crate) addresses: Vec<Address>,
    /// Encoded, as the hub sent them: taken into the control log at every open, so a crash between the two is made good.
    pub(crate) control_entries: Vec<Vec<u8>>,
}

impl Identity {
    pub(crate) fn of(enrolled: Enrolled, addresses: Vec<Address>) -> Self {
        Self {
            device: enrolled.device,
            connection: enrolled.identity,
            authority_certificate: enrolled.authority_certificate,
            org: enrolled.org,
            org_name: enrolled.org_name,
            hub: enrolled.hub,
            station: enrolled.station,
            persons: enrolled.persons,
            addresses,
            control_entries: enrolled.control_entries,
        }
    }
}

/// Why the identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityFileError {
    #[error("{} cannot be {doing}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{} is not an identity file of this version", path.display())]
    Json {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} holds a wrong {field}", path.display())]
    Field { path: PathBuf, field: &'static str },
}

#[derive(Debug, Serialize, Deserialize)]
struct IdentityFile {
    version: u32,
    device: String,
    device_certificate: String,
    authority_certificate: String,
    authority_key: String,
    org_name: String,
    hub: String,
    station: String,
    persons: Vec<String>,
    addresses: Vec<String>,
    control_entries: Vec<String>,
}

const VERSION: u32 = 1;

/// The folder of the identity files.
#[derive(Debug, Clone)]
pub(crate) struct IdentityFolder {
    dir: PathBuf,
}

impl IdentityFolder {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join(FOLDER) }
    }

    /// The identity, if the device is enrolled.
    pub(crate) fn load(&self) -> Result<Option<Identity>, IdentityFileError> {
        let path = self.dir.join(FILE);
        let Some(bytes) = read_bounded(&path)? else { return Ok(None) };
        let file: IdentityFile =
            serde_json::from_slice(&bytes).map_err(|source| IdentityFileError::Json { path: path.clone(), source })?;
        let wrong = |field| IdentityFileError::Field { path: path.clone(), field };
        if file.version != VERSION {
            return Err(wrong("version"));
        }
        let device = DeviceId::from_hex(&file.device).ok_or_else(|| wrong("device"))?;
        let key_path = self.key_path(&device);
        let key = read_key(&key_path)?.ok_or_else(|| wrong("device: its key file is missing"))?;
        if DeviceId::from_key(key.verifying_key().as_bytes()) != device {
            return Err(wrong("device: the key file is another's"));
        }
        let base64 = |text: &str, field| BASE64.decode(text.as_bytes()).map_err(|_| wrong(field));
        let authority_key = HEXLOWER.decode(file.authority_key.as_bytes()).ok();
        let authority_key: [u8; 32] =
            authority_key.and_then(|key| key.try_into().ok()).ok_or_else(|| wrong("authority key"))?;
        let codes = |texts: &[String]| texts.iter().map(|text| Code::new(text)).collect::<Result<Vec<_>, _>>();
        let addresses = file.addresses.iter().map(|text| Address::new(text)).collect::<Result<Vec<_>, _>>();
        let entries = file.control_entries.iter().map(|text| base64(text, "control entry"));
        Ok(Some(Identity {
            device,
            connection: DeviceIdentity {
                key,
                certificate: base64(&file.device_certificate, "device certificate")?,
                authority_key,
            },
            authority_certificate: base64(&file.authority_certificate, "authority certificate")?,
            org: OrgId::from_authority_key(&authority_key),
            org_name: file.org_name.clone(),
            hub: HubId::from_hex(&file.hub).ok_or_else(|| wrong("hub"))?,
            station: Code::new(&file.station).map_err(|_| wrong("station"))?,
            persons: codes(&file.persons).map_err(|_| wrong("person"))?,
            addresses: addresses.map_err(|_| wrong("address"))?,
            control_entries: entries.collect::<Result<_, _>>()?,
        }))
    }

    /// The key to enrol: that of an attempt before, or a new one, durable in either case.
    pub(crate) fn pending_key(&self, rng: &mut dyn RngCore) -> Result<SigningKey, IdentityFileError> {
        let path = self.dir.join(PENDING);
        if let Some(key) = read_key(&path)? {
            return Ok(key);
        }
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        self.write(&path, seed.as_slice(), Secrecy::Owner)?;
        Ok(SigningKey::from_bytes(&seed))
    }

    /// Keeps an identity for good. The device is enrolled when this returns.
    pub(crate) fn save(&self, identity: &Identity) -> Result<(), IdentityFileError> {
        let seed = Zeroizing::new(identity.connection.key.to_bytes());
        self.write(&self.key_path(&identity.device), seed.as_slice(), Secrecy::Owner)?;
        let file = IdentityFile {
            version: VERSION,
            device: identity.device.to_string(),
            device_certificate: BASE64.encode(&identity.connection.certificate),
            authority_certificate: BASE64.encode(&identity.authority_certificate),
            authority_key: HEXLOWER.encode(&identity.connection.authority_key),
            org_name: identity.org_name.clone(),
            hub: identity.hub.to_string(),
            station: identity.station.to_string(),
            persons: identity.persons.iter().map(ToString::to_string).collect(),
            addresses: identity.addresses.iter().map(ToString::to_string).collect(),
            control_entries: identity.control_entries.iter().map(|entry| BASE64.encode(entry)).collect(),
        };
        let path = self.dir.join(FILE);
        let bytes = serde_json::to_vec_pretty(&file)
            .map_err(|source| IdentityFileError::Json { path: path.clone(), source })?;
        self.write(&path, &bytes, Secrecy::Owner)?;
        let pending = self.dir.join(PENDING);
        match fs::remove_file(&pending) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(IdentityFileError::Io { path: pending, doing: "removed", source }),
        }
    }

    fn key_path(&self, device: &DeviceId) -> PathBuf {
        self.dir.join(format!("{device}.key"))
    }

    fn write(&self, path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), IdentityFileError> {
        let failed = |source| IdentityFileError::Io { path: path.to_owned(), doing: "written", source };
        make_folder(&self.dir).map_err(failed)?;
        sync_names_above(&self.dir);
        write_atomically(&self.dir, path, bytes, secrecy).map_err(failed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// Readable by the owner alone, where the system knows owners.
    Owner,
}

fn write_atomically(dir: &Path, path: &Path, bytes: &[u8], secrecy: Secrecy) -> io::Result<()> {
    let next = path.with_extension("next");
    match fs::remove_file(&next) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    restrict(&mut options, secrecy);
    let mut file = options.open(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&next, path)?;
    sync_folder(dir)
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, secrecy: Secrecy) {
    use std::os::unix::fs::OpenOptionsExt as _;
    match secrecy {
        Secrecy::Owner => options.mode(0o600),
    };
}

#[cfg(not(unix))]
fn restrict(_options: &mut OpenOptions, _secrecy: Secrecy) {}

#[cfg(unix)]
fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// A whole small file; `None` when there is none.
fn read_bounded(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityFileError> {
    let failed = |source| IdentityFileError::Io { path: path.to_owned(), doing: "read", source };
    let length = match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if length > FILE_BYTES_MAX {
        return Err(IdentityFileError::Field { path: path.to_owned(), field: "length" });
    }
    fs::read(path).map(|bytes| Some(Zeroizing::new(bytes))).map_err(failed)
}

fn read_key(path: &Path) -> Result<Option<SigningKey>, IdentityFileError> {
    let Some(bytes) = read_bounded(path)? else { return Ok(None) };
    let seed: Option<&[u8; 32]> = bytes.as_slice().try_into().ok();
    let seed = seed.ok_or_else(|| IdentityFileError::Field { path: path.to_owned(), field: "length" })?;
    Ok(Some(SigningKey::from_bytes(seed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(key: SigningKey) -> Identity {
        Identity {
            device: DeviceId::from_key(key.verifying_key().as_bytes()),
            connection: DeviceIdentity { key, certificate: vec![1, 2, 3], authority_key: [4; 32] },
            authority_certificate: vec![5; 200],
            org: OrgId::from_authority_key(&[4; 32]),
            org_name: "平谷".to_owned(),
            hub: HubId([6; 8]),
            station: Code::new("ST01").unwrap(),
            persons: vec![Code::new("E001").unwrap()],
            addresses: vec![Address::new("hub.example.cn:4433").unwrap()],
            control_entries: vec![vec![7; 40], vec![]],
        }
    }

    #[test]
    fn key_of_an_unfinished_enrolment_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IdentityFolder::new(dir.path());
        assert!(folder.load().unwrap().is_none());
        let first = folder.pending_key(&mut rand::rng()).unwrap();
        let again = folder.pending_key(&mut rand::rng()).unwrap();
        assert_eq!(first.to_bytes(), again.to_bytes());
        folder.save(&identity(first.clone())).unwrap();
        let other = folder.pending_key(&mut rand::rng()).unwrap();
        assert_ne!(first.to_bytes(), other.to_bytes(), "an enrolled key is not asked for again");
    }

    #[test]
    fn identity_reads_back_and_its_key_is_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IdentityFolder::new(dir.path());
        let saved = identity(SigningKey::from_bytes(&[9; 32]));
        folder.save(&saved).unwrap();
        let read = folder.load().unwrap().unwrap();
        assert_eq!(read.connection.key.to_bytes(), [9; 32]);
        assert_eq!((read.device, read.org, read.hub), (saved.device, saved.org, saved.hub));
        assert_eq!((read.addresses, read.control_entries), (saved.addresses.clone(), saved.control_entries.clone()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.key_path(&saved.device)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn damaged_identity_is_a_typed_error() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IdentityFolder::new(dir.path());
        let saved = identity(SigningKey::from_bytes(&[9; 32]));
        folder.save(&saved).unwrap();
        let bytes = fs::read(folder.dir.join(FILE)).unwrap();
        fs::write(folder.dir.join(FILE), &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(folder.load(), Err(IdentityFileError::Json { .. })));
        fs::write(folder.dir.join(FILE), &bytes).unwrap();
        fs::write(folder.key_path(&saved.device), [1; 31]).unwrap();
        assert!(matches!(folder.load(), Err(IdentityFileError::Field { field: "length", .. })));
        fs::remove_file(folder.key_path(&saved.device)).unwrap();
        assert!(folder.load().is_err());
    }
}
