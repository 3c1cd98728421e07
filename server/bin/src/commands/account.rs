//! `account`: makes, lists and closes accounts of the pages.
//!
//! A password is made and hashed here; the hub gets the hash alone.

use qianmo_server::password::{self, PasswordHash};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Account, AccountAct, AddAccount, Common, Listing, NamedAccount};
use crate::control_socket::Request;
use crate::failure::{Exit, Failure, OrFail as _};
use crate::lang::Lang;
use crate::office::{AccountAnswer, AccountAsked, Office, Right};
use crate::screen::{self, Table, line};

/// An account with the password it was given.
#[derive(Debug, Serialize)]
struct WithPassword<'a> {
    #[serde(flatten)]
    account: &'a AccountAnswer,
    password: &'a str,
}

/// Does what is asked.
///
/// # Errors
/// The hub's refusal.
pub(crate) fn run(common: &Common, args: Account, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    match args.act {
        AccountAct::List(args) => list(&office, &args, lang),
        AccountAct::Add(args) => add(&office, args, lang),
        AccountAct::Reset(args) => reset(&office, args, lang),
        AccountAct::Close(args) => close(&office, args, lang),
    }
}

/// A password and its hash.
///
/// # Errors
/// It could not be hashed.
pub(crate) fn fresh_password() -> Result<(Zeroizing<String>, PasswordHash), Failure> {
    let password = password::fresh();
    let hash = PasswordHash::of(&password).or_fail(Exit::Failed, "no password could be made", "try again")?;
    Ok((password, hash))
}

fn list(office: &Office, args: &Listing, lang: Lang) -> Result<(), Failure> {
    let accounts: Vec<AccountAnswer> = office.ask(Request::Account(AccountAsked::List))?;
    if args.json {
        return Ok(screen::json(&accounts)?);
    }
    if accounts.is_empty() {
        line(lang.say("还没有账号。", "There are no accounts yet."))?;
        line("  qianmo-server account add C01 --role coordinator --district")?;
        return Ok(());
    }
    let mut table = Table::new([
        lang.label("账号", "account"),
        lang.label("人员", "person"),
        lang.label("权限", "rights"),
        lang.label("状态", "standing"),
    ]);
    for account in &accounts {
        table.row([account.login.clone(), account.person.clone(), rights(account, lang), standing(account, lang)]);
    }
    line(table.render())?;
    Ok(())
}

fn rights(account: &AccountAnswer, lang: Lang) -> String {
    if account.rights.is_empty() {
        return lang.label("无(只能看)", "none (reads only)");
    }
    let one = |right: &Right| {
        let scope = if right.stations.is_empty() {
            lang.say("全区", "district").to_owned()
        } else {
            right.stations.join(" ")
        };
        format!("{} ({scope})", right.role)
    };
    account.rights.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn standing(account: &AccountAnswer, lang: Lang) -> String {
    if account.closed {
        lang.label("已停用", "closed")
    } else if account.must_change {
        lang.label("等本人改密码", "password to be changed")
    } else {
        lang.label("可用", "in use")
    }
}

fn add(office: &Office, args: AddAccount, lang: Lang) -> Result<(), Failure> {
    if args.role.is_some() && args.station.is_empty() && !args.district {
        let next = "write --district, or --station CODE for each station";
        return Err(Failure::new(Exit::Usage, "a role is granted somewhere: no scope is given", next));
    }
    let (password, hash) = fresh_password()?;
    let right = args.role.map(|role| Right { role: role.as_str().to_owned(), stations: args.station });
    let asked = AccountAsked::Add {
        person: args.person.unwrap_or_else(|| args.login.clone()),
        login: args.login,
        right,
        hash: hash.as_str().to_owned(),
    };
    let account: AccountAnswer = office.ask(Request::Account(asked))?;
    show(&account, &password, args.json, lang)?;
    if account.rights.is_empty() && !args.json {
        let zh = "此人还没有任何授权,登录后只能看。授权:account add 时加 --role,或给平板开票时一并授权。";
        let en =
            "This person has no grant yet and can only read. Grant one with --role here, or with a tablet's ticket.";
        line(lang.say(zh, en))?;
    }
    Ok(())
}

fn reset(office: &Office, args: NamedAccount, lang: Lang) -> Result<(), Failure> {
    let (password, hash) = fresh_password()?;
    let asked = AccountAsked::Reset { login: args.login, hash: hash.as_str().to_owned() };
    let account: AccountAnswer = office.ask(Request::Account(asked))?;
    show(&account, &password, args.json, lang)
}

fn show(account: &AccountAnswer, password: &str, json: bool, lang: Lang) -> Result<(), Failure> {
    if json {
        return Ok(screen::json(&WithPassword { account, password })?);
    }
    line(format!("{}: {} ({})", lang.label("账号", "account"), account.login, rights(account, lang)))?;
    line(format!("{}: {password}", lang.label("密码", "password")))?;
    let zh = "只显示这一次;当面交给本人,第一次登录时要改。";
    let en = "Shown this once: hand it over in person. It is changed at the first sign-in.";
    line(lang.say(zh, en))?;
    Ok(())
}

fn close(office: &Office, args: NamedAccount, lang: Lang) -> Result<(), Failure> {
    let account: AccountAnswer = office.ask(Request::Account(AccountAsked::Close { login: args.login }))?;
    if args.json {
        return Ok(screen::json(&account)?);
    }
    line(format!("{}: {}", lang.label("已停用", "closed"), account.login))?;
    let zh = "已登录的页面也立刻失效;以前写的审核都保留。重新启用:qianmo-server account reset 账号";
    let en =
        "Its sessions are over; what was reviewed with it stays. To open it again: qianmo-server account reset ACCOUNT";
    line(lang.say(zh, en))?;
    Ok(())
}
