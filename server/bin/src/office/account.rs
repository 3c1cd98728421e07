//! Accounts of the pages.

use qianmo_server::hub::HubCore;
use qianmo_server::password::PasswordHash;
use qianmo_server::protocol::control::{Grant, Scope};
use qianmo_server::protocol::time::UnixMillis;
use qianmo_server::registry::{Account, AccountError, TicketGrant};
use serde::{Deserialize, Serialize};

use super::{STORE_NEXT, code, role, role_word};
use crate::failure::{Exit, Failure};

/// What is asked about accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum AccountAsked {
    /// All of them.
    List,
    /// A new one.
    Add {
        /// What is typed.
        login: String,
        /// In whose name it acts.
        person: String,
        /// What its person is granted with it.
        right: Option<Right>,
        /// The hash of its password.
        hash: String,
    },
    /// A new password.
    Reset {
        /// Which.
        login: String,
        /// The hash of its password.
        hash: String,
    },
    /// Nobody signs in with it any more.
    Close {
        /// Which.
        login: String,
    },
}

/// A role and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Right {
    /// The role, as a word.
    pub(crate) role: String,
    /// The stations; none means the whole district.
    pub(crate) stations: Vec<String>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountAnswer {
    /// What is typed.
    pub(crate) login: String,
    /// In whose name it acts.
    pub(crate) person: String,
    /// What its person may do.
    pub(crate) rights: Vec<Right>,
    /// Whether the password is to be changed before anything else.
    pub(crate) must_change: bool,
    /// Whether nobody may sign in with it.
    pub(crate) closed: bool,
    /// When it was made, in milliseconds since 1970.
    pub(crate) made_ms: i64,
}

/// What came of it: a list, or the account that was touched.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    All(Vec<AccountAnswer>),
    One(Box<AccountAnswer>),
}

pub(super) fn carry_out(core: &mut HubCore, now: UnixMillis, asked: AccountAsked) -> Result<Answer, Failure> {
    let login = match asked {
        AccountAsked::List => {
            let accounts = core.accounts().map_err(refused)?;
            let all = accounts.iter().map(|account| answer(core, &account.login.to_string()));
            return Ok(Answer::All(all.collect::<Result<_, _>>()?));
        }
        AccountAsked::Add { login, person, right, hash } => {
            let account = Account::fresh(code("account", &login)?, code("person", &person)?, made(&hash)?, now);
            let grant = right.as_ref().map(grant).transpose()?;
            core.make_account(now, account, grant.as_ref()).map_err(refused)?;
            login
        }
        AccountAsked::Reset { login, hash } => {
            let hash = made(&hash)?;
            core.change_account(&code("account", &login)?, |account| account.reset(hash, now)).map_err(refused)?;
            login
        }
        AccountAsked::Close { login } => {
            core.change_account(&code("account", &login)?, |account| account.close(now)).map_err(refused)?;
            login
        }
    };
    Ok(Answer::One(Box::new(answer(core, &login)?)))
}

fn made(hash: &str) -> Result<PasswordHash, Failure> {
    let next = "make it with this version of the program: qianmo-server account reset ACCOUNT";
    PasswordHash::made(hash).ok_or_else(|| Failure::new(Exit::Refused, "what came is no hash of a password", next))
}

fn grant(right: &Right) -> Result<TicketGrant, Failure> {
    let stations = right.stations.iter().map(|station| code("station", station)).collect::<Result<_, _>>()?;
    let scope = if right.stations.is_empty() { Scope::District } else { Scope::Stations(stations) };
    Ok(TicketGrant { role: role(&right.role)?, scope })
}

fn answer(core: &HubCore, login: &str) -> Result<AccountAnswer, Failure> {
    let login = code("account", login)?;
    let standing = core.account(&login).map_err(refused)?;
    let standing = standing.ok_or_else(|| refused(AccountError::Unknown { login }))?;
    let right = |grant: &Grant| Right {
        role: role_word(grant.role).to_owned(),
        stations: match &grant.scope {
            Scope::District => Vec::new(),
            Scope::Stations(stations) => stations.iter().map(ToString::to_string).collect(),
        },
    };
    Ok(AccountAnswer {
        login: standing.account.login.to_string(),
        person: standing.account.person.to_string(),
        rights: standing.grants.iter().map(right).collect(),
        must_change: standing.account.must_change,
        closed: standing.account.is_closed,
        made_ms: standing.account.made.0,
    })
}

fn refused(error: AccountError) -> Failure {
    let (exit, next) = match &error {
        AccountError::Taken { .. } => (Exit::Refused, "a new password for it: qianmo-server account reset ACCOUNT"),
        AccountError::Unknown { .. } => (Exit::Refused, "see them with: qianmo-server account list"),
        AccountError::TooMany => (Exit::Refused, ""),
        AccountError::Unreadable(_) => (Exit::Failed, "update qianmo-server"),
        AccountError::Hub(_) => (Exit::Failed, STORE_NEXT),
    };
    Failure { exit, error: anyhow::Error::new(error).context("nothing was done"), next: next.to_owned() }
}
