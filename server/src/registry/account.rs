//! Accounts of the pages: who signs in, as which person. They are facts of the hub's own store, so that they are durable, in
//! every backup and after every restore. Only a hash of a password is kept; it is made and compared elsewhere
//! ([`crate::password`]), for that takes longer than the hub's thread may.

use qianmo_protocol::control::Grant;
use qianmo_protocol::ids::{Code, PersonCode};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use crate::hub::{HubCore, HubError};
use crate::password::{HASH_BYTES_MAX, PasswordHash};
use crate::registry::TicketGrant;

/// Most accounts of a hub: with the longest codes they still fit into one fact of the store.
pub const ACCOUNTS_MAX: usize = 380;
/// The meta key of all accounts: there are few, and they change seldom.
const ACCOUNTS_KEY: &[u8] = b"accounts";

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What its person types. Unique.
    pub login: Code,
    /// In whose name it acts.
    pub person: PersonCode,
    /// The hash of its password.
    pub password: PasswordHash,
    /// Whether a new password has to be chosen before anything else: somebody else knows this one.
    pub must_change: bool,
    /// Whether nobody may sign in with it.
    pub is_closed: bool,
    /// When it was made.
    pub made: UnixMillis,
    /// Sessions that began before are over: the password was changed, or its person signed out everywhere.
    pub sessions_since: UnixMillis,
}

/// What an account may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStanding {
    /// The account.
    pub account: Account,
    /// The rights of its person that were not ended.
    pub grants: Vec<Grant>,
}

/// Why an account is not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is taken.
    #[error("there is an account {login} already")]
    Taken {
        /// The name.
        login: Code,
    },
    /// There is none of this name.
    #[error("there is no account {login}")]
    Unknown {
        /// The name.
        login: Code,
    },
    /// There are too many.
    #[error("a hub has at most {ACCOUNTS_MAX} accounts; close those that are not used")]
    TooMany,
    /// A later version wrote them: nobody signs in, and nothing is written over them.
    #[error("the accounts were written by a later version; update the hub")]
    Unreadable(#[from] DecodeError),
    /// The store failed.
    #[error("the account could not be stored")]
    Hub(#[from] HubError),
}

impl Wire for Account {
    fn write(&self, writer: &mut Writer) {
        writer.code(&self.login);
        writer.code(&self.person);
        writer.bytes(self.password.as_str().as_bytes());
        writer.u8(u8::from(self.must_change));
        writer.u8(u8::from(self.is_closed));
        writer.i64(self.made.0);
        writer.i64(self.sessions_since.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            login: reader.code("login")?,
            person: reader.code("person")?,
            password: PasswordHash::stored(reader.text("password", HASH_BYTES_MAX)?),
            must_change: reader.flag("must change")?,
            is_closed: reader.flag("closed")?,
            made: UnixMillis(reader.i64("made")?),
            sessions_since: UnixMillis(reader.i64("sessions since")?),
        })
    }
}

/// All accounts, as they are stored.
#[derive(Debug, Default)]
struct Accounts(Vec<Account>);

impl Wire for Accounts {
    fn write(&self, writer: &mut Writer) {
        writer.list(&self.0, |writer, account| account.write(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.list("accounts", ACCOUNTS_MAX, Account::read)?))
    }
}

impl Account {
    /// A new one, whose password somebody else knows.
    #[must_use]
    pub const fn fresh(login: Code, person: PersonCode, password: PasswordHash, now: UnixMillis) -> Self {
        Self { login, person, password, must_change: true, is_closed: false, made: now, sessions_since: now }
    }

    /// Gives it a password that somebody else knows, ends its sessions, and opens it if it was closed.
    pub fn reset(&mut self, password: PasswordHash, now: UnixMillis) {
        self.password = password;
        self.must_change = true;
        self.is_closed = false;
        self.sessions_since = now;
    }

    /// Closes it, and ends its sessions.
    pub const fn close(&mut self, now: UnixMillis) {
        self.is_closed = true;
        self.sessions_since = now;
    }
}

impl HubCore {
    /// Every account, ascending by name.
    ///
    /// # Errors
    /// [`AccountError`] when they cannot be read.
    pub fn accounts(&self) -> Result<Vec<Account>, AccountError> {
        let bytes = self.replica().meta(ACCOUNTS_KEY).map_err(HubError::from)?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        Ok(Accounts::decode(&bytes)?.0)
    }

    /// What a person may do now.
    pub(crate) fn grants_now(&self, person: &PersonCode) -> impl Iterator<Item = &Grant> {
        let fold = self.replica().control().fold();
        fold.grants_of(person).filter(|(hash, _)| !fold.is_cut(hash)).map(|(_, grant)| grant)
    }

    /// An account, and what its person may do now.
    ///
    /// # Errors
    /// [`AccountError`] when they cannot be read.
    pub fn account(&self, login: &Code) -> Result<Option<AccountStanding>, AccountError> {
        let accounts = self.accounts()?;
        let exact = accounts.iter().find(|account| account.login == *login);
        // Whoever writes `c01` means `C01`, as long as there is no other.
        let like = |account: &&Account| account.login.as_str().eq_ignore_ascii_case(login.as_str());
        let mut alike = accounts.iter().filter(like);
        let only = alike.next().filter(|_| alike.next().is_none());
        let Some(account) = exact.or(only).cloned() else { return Ok(None) };
        let grants = self.grants_now(&account.person).cloned().collect();
        Ok(Some(AccountStanding { grants, account }))
    }

    /// Makes an account, and grants its person a right with it. Both are durable when this returns.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn make_account(
        &mut self,
        now: UnixMillis,
        account: Account,
        grant: Option<&TicketGrant>,
    ) -> Result<(), AccountError> {
        let mut accounts = self.accounts()?;
        if accounts.iter().any(|known| known.login == account.login) {
            return Err(AccountError::Taken { login: account.login });
        }
        if accounts.len() >= ACCOUNTS_MAX {
            return Err(AccountError::TooMany);
        }
        // The right first: when a crash comes between, asking once more makes the account and grants nothing twice.
        if let Some(grant) = grant {
            let missing = self.missing_grants(core::slice::from_ref(&account.person), grant);
            self.decide(now, missing)?;
        }
        accounts.push(account);
        accounts.sort_by(|a, b| a.login.cmp(&b.login));
        Ok(self.put_durable(ACCOUNTS_KEY, &Accounts(accounts).encode())?)
    }

    /// Changes an account. It is durable when this returns.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn change_account(&mut self, login: &Code, change: impl FnOnce(&mut Account)) -> Result<(), AccountError> {
        let mut accounts = self.accounts()?;
        let found = accounts.iter_mut().find(|account| account.login == *login);
        let account = found.ok_or_else(|| AccountError::Unknown { login: login.clone() })?;
        change(account);
        account.login = login.clone();
        Ok(self.put_durable(ACCOUNTS_KEY, &Accounts(accounts).encode())?)
    }
}
