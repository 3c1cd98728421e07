//! `account`: who signs in at the pages.

use clap::{Args, Subcommand};

use super::{Listing, Role};

/// 页面的账号 Who signs in at the pages
///
/// 账号属于一个人(编号),权限由授权决定,页面上的每次审核都以本人名义记下。
/// An account belongs to a person. What they may do follows from their grants, and every act is written in their name.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Passwords are made here, shown once, and changed at the first sign-in. Only their hashes are kept.\n\nExamples 示例:\n  qianmo-server account list\n  qianmo-server account add C01 --role coordinator --district\n  qianmo-server account add P02 --role coordinator --station ST01 --station ST02\n  qianmo-server account reset C01      忘了密码 (a new password; also opens a closed account)\n  qianmo-server account close C01      不再使用 (nobody signs in with it any more)"
)]
pub(crate) struct Account {
    #[command(subcommand)]
    pub(crate) act: AccountAct,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountAct {
    /// 列出账号 List them
    List(Listing),
    Add(AddAccount),
    /// 换一个新密码 A new password
    Reset(NamedAccount),
    /// 停用账号 Close it; its sessions end
    Close(NamedAccount),
}

/// 新账号 A new one
///
/// 账号默认就是人员编号。可以同时授权。
/// Its name is the person's code unless --person says otherwise. A right may be granted with it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AddAccount {
    /// 账号 What is typed to sign in
    #[arg(value_name = "ACCOUNT")]
    pub(crate) login: String,
    /// 人员编号 In whose name it acts; without it, the account's name
    #[arg(long, value_name = "CODE")]
    pub(crate) person: Option<String>,
    /// 同时授权 Grant this role, too
    #[arg(long, value_enum)]
    pub(crate) role: Option<Role>,
    /// 授权的工作站,可多次 For these stations; may be given several times
    #[arg(long, value_name = "CODE", requires = "role", conflicts_with = "district")]
    pub(crate) station: Vec<String>,
    /// 授权全区 For the whole district
    #[arg(long, requires = "role")]
    pub(crate) district: bool,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One account.
#[derive(Debug, Args)]
pub(crate) struct NamedAccount {
    /// 账号 Which
    #[arg(value_name = "ACCOUNT")]
    pub(crate) login: String,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
