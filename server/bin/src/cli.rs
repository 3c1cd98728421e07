//! The command line: what may be typed, and what `--help` teaches.
//!
//! Global flags may stand before or after the command. A flag wins over its `QIANMO_…` variable, and that over the file.

mod account;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use qianmo_server::config::{HostPort, LogFormat, LogLevel};

use crate::lang::Lang;

pub(crate) use account::{Account, AccountAct, AddAccount, NamedAccount};

/// 阡陌管理端:接收平板的工作日志,落盘、备份、判断、展示
/// The Qianmo hub: takes in what tablets wrote, keeps it, judges it, shows it
#[derive(Debug, Parser)]
#[command(name = "qianmo-server", version, verbatim_doc_comment, max_term_width = 110)]
#[command(after_long_help = EXAMPLES, after_help = SEE_EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const SEE_EXAMPLES: &str =
    "Examples and exit codes: qianmo-server --help. Of one command: qianmo-server enroll --help.";

const EXAMPLES: &str = "\
Examples 示例:
  qianmo-server demo                                   一分钟看懂:一个管理端、三台平板,在本机演示 (everything on this machine)
  qianmo-server init --data ./hub --name 样例区推广站 --advertise 192.0.2.7:4433
  qianmo-server serve --data ./hub                     运行;Ctrl-C 或 SIGTERM 正常停止 (stops cleanly)
  qianmo-server enroll --data ./hub --station ST01 --person P02
  qianmo-server account add --data ./hub C01 --role coordinator --district
  qianmo-server devices --data ./hub                   谁登记了、什么时候来过 (who is enrolled, who came when)
  qianmo-server revoke 1f0c5a7be0d94c22 --reason lost --data ./hub
  qianmo-server backup --data ./hub --to /mnt/backup   运行中也可以 (also while it runs)
  qianmo-server verify /mnt/backup
  qianmo-server restore --from /mnt/backup --data ./hub2

The configuration is one TOML file. Without --config it is DIR/qianmo.toml of --data DIR, or else
/etc/qianmo/qianmo.toml. Every key is also a variable: quic.listen = QIANMO_QUIC_LISTEN. A flag wins over a
variable, and a variable over the file.

Exit codes 退出码:
  0  done
  1  the disk, the network or another process is in the way
  2  the command line, the environment or the configuration is wrong
  3  a check found something that does not hold (verify, demo)
  4  no organisation in this folder, or one already
  5  the hub does not do it: no such device, a role that needs a scope …";

const GENERAL: &str = "General 通用";

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    /// 配置文件 The configuration file
    #[arg(long, global = true, help_heading = GENERAL, value_name = "FILE", env = "QIANMO_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// 数据目录 The folder with all of the hub's state
    #[arg(long, global = true, help_heading = GENERAL, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// 输出语言 The language of the output; without it, that of the locale
    #[arg(long, global = true, help_heading = GENERAL, value_enum, value_name = "zh|en", hide_possible_values = true)]
    #[arg(env = "QIANMO_LANG", hide_env_values = true)]
    pub(crate) lang: Option<Lang>,
    /// 日志级别 The least important log line still written, on standard error
    #[arg(long, global = true, help_heading = GENERAL, value_enum, hide_possible_values = true)]
    #[arg(value_name = "error|warn|info|debug|trace")]
    pub(crate) log_level: Option<Level>,
    /// 日志格式 Log lines for people or for a collector
    #[arg(long, global = true, help_heading = GENERAL, value_enum, value_name = "text|json", hide_possible_values = true)]
    pub(crate) log_format: Option<Format>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(Init),
    Serve(Serve),
    Enroll(Enroll),
    /// 列出设备 List the devices
    Devices(Listing),
    Revoke(Revoke),
    Account(Account),
    Confirm(Confirm),
    Release(Release),
    RequireVersion(RequireVersion),
    Stats(Stats),
    Rebuild(Rebuild),
    Export(Export),
    Verify(Verify),
    Backup(Backup),
    Restore(Restore),
    Purge(Purge),
    Bundle(Bundle),
    Demo(Demo),
}

/// 建立单位:密钥、数据目录 Make the organisation, once
///
/// 什么也不问;密钥只此一份,请当天备份。
/// Asks nothing. The keys exist nowhere else: back up today.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Example 示例:\n  qianmo-server init --data ./hub --name 样例区推广站 --advertise 192.0.2.7:4433"
)]
pub(crate) struct Init {
    /// 单位名称 The name people see on pages, tickets and exports
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// 管理员编号 The administrator's code, never a name
    #[arg(long, value_name = "CODE", default_value = "A01")]
    pub(crate) admin: String,
    #[command(flatten)]
    pub(crate) addresses: Addresses,
}

/// Where the hub listens.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Addresses {
    /// 平板连接的 UDP 地址 The UDP address for tablets
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// 写进票里的地址,可多次 What tickets tell tablets to dial; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Vec<HostPort>,
    /// 页面的 TCP 地址 The TCP address of the pages
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) web: Option<SocketAddr>,
}

/// 运行管理端 Run the hub
///
/// 直到 Ctrl-C 或 SIGTERM;已确认收到的都会先落盘。
/// Until Ctrl-C or SIGTERM; it finishes what it acknowledged.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Examples 示例:\n  qianmo-server serve --config /etc/qianmo/qianmo.toml --check-config\n  qianmo-server serve --data ./hub --log-format json"
)]
pub(crate) struct Serve {
    /// 只检查配置 Check the configuration, say everything that is wrong, and end
    #[arg(long)]
    pub(crate) check_config: bool,
    /// 时钟大跳后确认时间正确 After a jump of the clock: it is right now
    #[arg(long)]
    pub(crate) confirm_clock: bool,
    #[command(flatten)]
    pub(crate) addresses: Addresses,
}

/// 给一台新平板开票 Make a ticket for a new tablet
///
/// 一票一机,限时,用一次;当面交给本人。管理端在不在运行都可以。
/// For one tablet, for a short time, used once; hand it over in person. Works whether the hub runs or not.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Examples 示例:\n  qianmo-server enroll --station ST01 --person P02\n  qianmo-server enroll --station ST01 --person C01 --role coordinator --district --valid-hours 2\n  qianmo-server enroll --station ST01 --person P02 --replaces 1f0c5a7be0d94c22   换机 (P02's new tablet)"
)]
pub(crate) struct Enroll {
    /// 工作站编号 The station the tablet belongs to
    #[arg(long, value_name = "CODE")]
    pub(crate) station: String,
    /// 使用人编号,可多次 Who writes on it; may be given several times
    #[arg(long, value_name = "CODE", required = true)]
    pub(crate) person: Vec<String>,
    /// 角色 What they may do
    #[arg(long, value_enum, default_value_t = Role::Technician)]
    pub(crate) role: Role,
    /// 全区,而不只是本站 For the whole district, not only the station
    #[arg(long)]
    pub(crate) district: bool,
    /// 有效小时数 How long the ticket is good
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=24))]
    pub(crate) valid_hours: u32,
    /// 换机:旧设备编号 The device that the new tablet replaces
    #[arg(long, value_name = "DEVICE")]
    pub(crate) replaces: Option<String>,
    /// 不画二维码 Draw no QR code
    #[arg(long)]
    pub(crate) no_qr: bool,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// 技术员 writes records of the station
    Technician,
    /// 专家 writes records, also of other stations with --district
    Expert,
    /// 协调员 also approves and returns
    Coordinator,
    /// 只读 reads
    Viewer,
    /// 管理员 everything
    Admin,
}

impl Role {
    /// The word of the control socket.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Technician => "technician",
            Self::Expert => "expert",
            Self::Coordinator => "coordinator",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }
}

/// A list or counts.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 状态与统计 State, counts and the figures of a year
///
/// 统计只算通过审核的记录;已通过又改动的,按通过时的内容算。
/// Official figures count approved records only, as they were approved.
#[derive(Debug, Clone, Copy, Args)]
#[command(verbatim_doc_comment)]
#[command(after_help = "Example 示例:\n  qianmo-server stats --year 2025 --json")]
pub(crate) struct Stats {
    /// 统计年份;不写则为有记录的最近一年 The year of the figures; without it, the newest there are records of
    #[arg(long, value_name = "YYYY", value_parser = clap::value_parser!(i16).range(2000..=2199))]
    pub(crate) year: Option<i16>,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 重建查询库 Build the read model anew
///
/// 查询库(列表、检索、统计)由日志推出,随时可以重建;记录不受影响。
/// The read model (lists, search, figures) follows from the log and may be built anew at any time.
#[derive(Debug, Clone, Copy, Args)]
#[command(verbatim_doc_comment)]
#[command(after_help = "Example 示例:\n  qianmo-server rebuild --data ./hub")]
pub(crate) struct Rebuild {
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 停用一台设备 Revoke a device
///
/// 连接立刻断开,不能恢复;之后要重新登记。
/// Open connections are closed at once. It cannot be undone; the tablet enrols anew instead.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "What it wrote honestly and uploads later is held for a coordinator, not destroyed.\n\nExample 示例:\n  qianmo-server revoke 1f0c5a7be0d94c22 --reason lost"
)]
pub(crate) struct Revoke {
    /// 设备编号(见 devices)The device's id, as `devices` shows it
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// 原因 Why
    #[arg(long, value_enum)]
    pub(crate) reason: Reason,
}

/// Why a device is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reason {
    /// 丢失 lost
    Lost,
    /// 被盗 stolen
    Stolen,
    /// 换了新机 replaced by another
    Replaced,
    /// 人员离开 its person left
    Left,
    /// 被复制 its store was copied
    Copied,
    /// 其他 something else
    Other,
}

impl Reason {
    /// The code in the control log. A number once given is never given another meaning.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Other => 1,
            Self::Lost => 2,
            Self::Stolen => 3,
            Self::Replaced => 4,
            Self::Left => 5,
            Self::Copied => 6,
        }
    }
}

/// 恢复之后确认设备 After a restore, confirm devices
///
/// 旧备份可能不知道后来的停用,所以未确认的平板只能上传,收不到记录。逐台确认;都来过之后也可以全部确认。
/// An old backup may not know of later revocations, so an unconfirmed tablet may upload and receives no records.
/// Confirm them one by one, or all of them once every tablet has been here.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Examples 示例:\n  qianmo-server confirm 1f0c5a7be0d94c22\n  qianmo-server confirm --all      都来过了,不再逐台确认 (no device needs it any more)"
)]
pub(crate) struct Confirm {
    /// 设备编号(见 devices)The device's id, as `devices` shows it
    #[arg(value_name = "DEVICE", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) device: Option<String>,
    /// 全部 Every device, now and later
    #[arg(long)]
    pub(crate) all: bool,
}

/// 看隔离了什么,放行 See what is held, and release it
///
/// 不带参数:列出被隔离的内容、谁写的、为什么、从什么时候起。核实之后按编号放行;误判、来晚的授权、停用前写的都在这里。
/// Without arguments: what is held, who wrote it, why, since when. Release by id once you have checked with the person.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "A record held only for lack of a grant needs no release: it comes through with the grant.\nApprovals and returns do need one. What is not released is never lost and never shown.\n\nExamples 示例:\n  qianmo-server release                             列出 (the list)\n  qianmo-server release 3f0c5a7be0d94c22\n  qianmo-server release --device 1f0c5a7be0d94c22   停用前写的,核实后全部放行 (all of one device)\n  qianmo-server release --all-of 283                同一原因的全部放行 (all with one reason)"
)]
pub(crate) struct Release {
    /// 编号(见列表),至少 8 位 The id from the list, at least 8 digits of it
    #[arg(value_name = "ID", conflicts_with_all = ["device", "all_of"])]
    pub(crate) id: Option<String>,
    /// 一台设备的全部 Everything of a device
    #[arg(long, value_name = "DEVICE", conflicts_with = "all_of")]
    pub(crate) device: Option<String>,
    /// 同一原因代码的全部 Everything held with this code
    #[arg(long, value_name = "CODE")]
    pub(crate) all_of: Option<u16>,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 要求平板升级 Require newer programs on tablets
///
/// 不带参数:看现在的要求。低于要求的平板照常上传,但不再接收记录,平板上会提示升级应用。
/// Without arguments: what is required now. Tablets below still upload what they wrote; they receive no
/// records any more, and tell their person to update.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(after_help = "The number is a version of the protocol; `qianmo status --json` shows what a tablet speaks.

Examples 示例:
  qianmo-server require-version            现在要求什么 (what is required)
  qianmo-server require-version 2
  qianmo-server require-version --end      取消要求 (no requirement any more)")]
pub(crate) struct RequireVersion {
    /// 协议版本 The oldest protocol version that still receives records
    #[arg(value_name = "N", conflicts_with = "end", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) version: Option<u16>,
    /// 取消要求 End the requirement
    #[arg(long)]
    pub(crate) end: bool,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 导出记录 Export the records
///
/// 每行一条 JSON;个人信息默认隐去。
/// One JSON object a line; personal data is masked unless asked for.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Export {
    /// 写到哪个文件(不覆盖)Where to; an existing file is not overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// 连同个人信息 With personal data; without it they are masked
    #[arg(long)]
    pub(crate) personal: bool,
}

/// 检查数据目录或备份 Check a data folder or a backup
///
/// 逐帧校验、有没有缺、签名链、回执、密钥、状态重算;什么也不改。
/// Every frame, that none is missing, every signature, receipt and key, every state computed anew. Changes nothing.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(after_help = "Ends with 0 when everything holds, with 3 when something does not; --json lists what.

Examples 示例:
  qianmo-server verify                     运行中的数据目录 (the data folder, also while the hub runs)
  qianmo-server verify /mnt/usb/qianmo     备份 (a backup)")]
pub(crate) struct Verify {
    /// 数据目录或备份;不写就是 --data A data folder or a backup; without it, the data folder
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 备份,运行中也可以 Back up, also while the hub runs
///
/// 只复制新的部分;说清复制了多少、备份到哪个提交。备份里有日志、私钥、本区表单和配置,请像服务器一样看管。
/// Copies only what is new, and says how much and how far. A backup holds the log, the private keys, the
/// district's forms and the configuration: guard it like the server.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(after_help = "A backup that is cut short, or finds no room, leaves the one before it as it was.
What was erased leaves the backup at the next run. One backup is one state: keep dated copies elsewhere
for older ones.

Examples 示例:
  qianmo-server backup                              到 backup.dir (to backup.dir)
  qianmo-server backup --to /mnt/usb/qianmo         到U盘,先挂载 (to a stick; mount it first)
  qianmo-server verify /mnt/usb/qianmo              检查备份 (check it)")]
pub(crate) struct Backup {
    /// 备份到哪个目录;不写就是 backup.dir Where to; without it, backup.dir of the configuration
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 从备份恢复到空目录 Restore a backup into an empty folder
///
/// 先把备份查一遍,坏了就不动手。旧机器从此不能再运行。说清接下来会怎样、哪些设备待确认。
/// Looks through the backup first and does nothing with a damaged one. Never run the old machine again: the
/// restored hub is its successor. Says what happens next, and which devices are to be confirmed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "A backup holds one state, the newest. To go further back, restore an older copy of the backup folder.

Example 示例:
  qianmo-server restore --from /mnt/backup --data /var/lib/qianmo"
)]
pub(crate) struct Restore {
    /// 备份目录 The backup
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// 时钟大跳后确认时间正确 After a jump of the clock: it is right now
    #[arg(long)]
    pub(crate) confirm_clock: bool,
}

/// 收下平板交来的文件 Take in a file that a tablet exported
///
/// 没有网络时,平板把待上传的内容导出成文件(qianmo bundle export --to hub FILE),由人带来。
/// Where there is no network, a tablet exports what waits into a file, and somebody carries it here.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Bundle {
    #[command(subcommand)]
    pub(crate) act: BundleAct,
}

/// What to do with a bundle.
#[derive(Debug, Subcommand)]
pub(crate) enum BundleAct {
    Import(ImportBundle),
}

/// 收下一个文件 Take one in
///
/// 重复导入无害;途中拷坏的文件会说明从哪里坏起。
/// Importing again is harmless; a file that is damaged says from where on.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(after_help = "Example 示例:\n  qianmo-server bundle import /media/usb/st01.qmb")]
pub(crate) struct ImportBundle {
    /// 文件 The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 永久删除记录或服务对象 Erase a record or a service target for good
///
/// 应本人要求等情况。删除后不再显示,本机和各平板上的字节随后清除,以后的备份不再含有;不能恢复。
/// 服务对象连同所有提到过它的记录、审核和评论一起删除,以后送到的也一样。
/// At the person's request, for instance. It is shown no more, its bytes go from this hub and every tablet, and
/// later backups lack it. It cannot be taken back. A service target takes along every record, review and comment
/// that ever referred to it, and those that arrive later.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Without --yes it names what goes and asks. What is in no backup and on no other device goes only with --even-if-unsaved.\n\nExamples 示例:\n  qianmo-server purge 5b0f0c8f2f6b4c55a3d5e1f7a9c00d12 --reason request\n  qianmo-server purge 5b0f0c8f2f6b4c55a3d5e1f7a9c00d12 --target --reason request --yes\n  qianmo-server purge --list      删除过什么,什么还等着 (what was erased, and what waits)"
)]
pub(crate) struct Purge {
    /// 记录编号,32 位 The record's id, 32 digits
    #[arg(value_name = "RECORD", required_unless_present = "list", requires = "reason")]
    pub(crate) record: Option<String>,
    /// 原因 Why
    #[arg(long, value_enum, conflicts_with = "list")]
    pub(crate) reason: Option<PurgeReason>,
    /// 作为服务对象,连同提到它的一切 As a service target, with everything that refers to it
    #[arg(long, conflicts_with = "list")]
    pub(crate) target: bool,
    /// 不再询问 Do not ask
    #[arg(long, conflicts_with = "list")]
    pub(crate) yes: bool,
    /// 没有别的副本也删 Even if it is kept nowhere else
    #[arg(long, conflicts_with = "list")]
    pub(crate) even_if_unsaved: bool,
    /// 列出删除过的和等着删除的 List what was erased and what waits
    #[arg(long)]
    pub(crate) list: bool,
    /// 输出 JSON Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why something is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PurgeReason {
    /// 本人要求 the person asked for it
    Request,
    /// 撤回同意 the consent was withdrawn
    Consent,
    /// 保存期满 it was kept long enough
    Expired,
    /// 不该收集 it should never have been collected
    Mistake,
    /// 其他 something else
    Other,
}

impl PurgeReason {
    /// The code in the control log. A number once given is never given another meaning.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Other => 1,
            Self::Request => 2,
            Self::Consent => 3,
            Self::Expired => 4,
            Self::Mistake => 5,
        }
    }
}

/// 演示:离线写、并发改、合并、备份 Show everything on this machine
///
/// 一个管理端、三台平板,真的登记、离线写、并发改、同步、备份,逐项核对。
/// A hub and three tablets that really enrol, work offline, edit at the same time, sync and are backed up.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Every number is measured, every claim is checked. With --data DIR the folders are kept; otherwise they are removed at the end.\n\nExamples 示例:\n  qianmo-server demo\n  qianmo-server demo --once --json   最后一行是结果 (the last line is the result)"
)]
pub(crate) struct Demo {
    /// 做完就结束 End when it is done, without staying up
    #[arg(long)]
    pub(crate) once: bool,
    /// 最后一行输出 JSON Print the result as one line of JSON, the last line
    #[arg(long)]
    pub(crate) json: bool,
    /// 页面的 TCP 地址 The TCP address of the pages
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) web: Option<SocketAddr>,
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// A person must look
    Error,
    /// Odd, carried on
    Warn,
    /// Lifecycle
    Info,
    /// One line or more a session
    Debug,
    /// One line or more a message
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

/// A log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line of text
    Text,
    /// One JSON object a line
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::failure::Exit;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_manual_is_understood() {
        for line in [
            "qianmo-server init --config /etc/qianmo/qianmo.toml",
            "qianmo-server init --data ./hub --name 站 --advertise h:1 --advertise [::1]:2",
            "qianmo-server serve --config /etc/qianmo/qianmo.toml --check-config",
            "qianmo-server --config /x serve",
            "qianmo-server enroll --config /x --station ST01 --person P02",
            "qianmo-server enroll --station ST01 --person P02 --person P03 --role expert --district --valid-hours 2 --replaces a --no-qr",
            "qianmo-server devices --json",
            "qianmo-server revoke 1f0c5a7be0d94c22 --reason lost",
            "qianmo-server account list --json",
            "qianmo-server account add C01 --role coordinator --district",
            "qianmo-server account add chen --person P02 --role coordinator --station ST01 --station ST02 --json",
            "qianmo-server account reset C01",
            "qianmo-server account close C01",
            "qianmo-server release",
            "qianmo-server release 3f0c5a7be0d94c22 --json",
            "qianmo-server release --device 1f0c5a7be0d94c22",
            "qianmo-server release --all-of 283",
            "qianmo-server require-version --json",
            "qianmo-server require-version 2",
            "qianmo-server require-version --end",
            "qianmo-server stats --json",
            "qianmo-server export --to out.jsonl",
            "qianmo-server verify",
            "qianmo-server verify /var/backups/qianmo",
            "qianmo-server backup --to /var/backups/qianmo",
            "qianmo-server restore --from /b --data /d",
            "qianmo-server purge 5b0f0c8f2f6b4c55a3d5e1f7a9c00d12 --reason request --target --yes --json",
            "qianmo-server purge --list",
            "qianmo-server bundle import /media/usb/st01.qmb --json",
            "qianmo-server demo --once --json",
            "qianmo-server demo --data ./d --web 127.0.0.1:8080 --lang en",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_refused() {
        for line in [
            "qianmo-server",
            "qianmo-server enroll --station ST01",
            "qianmo-server enroll --station ST01 --person P02 --valid-hours 0",
            "qianmo-server enroll --station ST01 --person P02 --role boss",
            "qianmo-server revoke",
            "qianmo-server revoke 1f0c5a7be0d94c22",
            "qianmo-server init --advertise hub",
            "qianmo-server account",
            "qianmo-server account add",
            "qianmo-server account add C01 --district",
            "qianmo-server account add C01 --role coordinator --district --station ST01",
            "qianmo-server release 3f0c5a7be0d94c22 --all-of 283",
            "qianmo-server release --device 1f0c5a7be0d94c22 --all-of 283",
            "qianmo-server release --all-of many",
            "qianmo-server require-version 0",
            "qianmo-server require-version 2 --end",
            "qianmo-server export",
            "qianmo-server purge",
            "qianmo-server purge 5b0f0c8f2f6b4c55a3d5e1f7a9c00d12",
            "qianmo-server bundle",
            "qianmo-server bundle import",
            "qianmo-server fly",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_teaches_every_command_and_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for command in Cli::command().get_subcommands() {
            assert!(help.contains(command.get_name()), "{}", command.get_name());
        }
        for (exit, meaning) in Exit::MEANINGS {
            assert!(help.contains(&format!("  {}  {meaning}", exit.number())), "{exit:?}: {meaning}");
        }
        for line in EXAMPLES.lines().filter(|line| line.trim_start().starts_with("qianmo-server ")) {
            let typed: String = line.split("   ").find(|part| !part.trim().is_empty()).unwrap_or_default().to_owned();
            assert!(parse(typed.trim()).is_ok(), "the example does not parse: {typed}");
        }
    }

    /// What `--help` shows, of every command. Changed on purpose? Run the tests with `UPDATE_HELP=1` and read the difference.
    #[test]
    fn help_is_what_was_agreed() {
        let mut whole = Cli::command().term_width(110);
        whole.build();
        let mut shown = whole.render_long_help().to_string();
        for command in whole.get_subcommands_mut().filter(|command| command.get_name() != "help") {
            let name = command.get_name().to_owned();
            shown.push_str(&format!("\n==== {name}\n\n{}", command.render_long_help()));
        }
        let shown: String = shown.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
        if std::env::var_os("UPDATE_HELP").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt"), &shown).unwrap();
        }
        assert_eq!(shown, include_str!("../tests/help.txt"));
    }

    #[test]
    fn reason_codes_are_distinct() {
        let codes: std::collections::BTreeSet<u16> =
            Reason::value_variants().iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::value_variants().len());
        assert!(!codes.contains(&0));
    }
}
