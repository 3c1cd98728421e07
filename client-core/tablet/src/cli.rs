//! The grammar of the command line. The words of `--help` are messages, see [`help`].

pub(crate) mod fault;
pub(crate) mod help;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use qianmo_client_core::{DeliveryFilter, ReviewStatus};
use qianmo_forms::Lang;

/// Longest wait of one sync, in seconds.
const TIMEOUT_S_MAX: u64 = 24 * 60 * 60;
/// Most rows of one list.
const LIST_MAX: u64 = 10_000;

#[derive(Debug, Parser)]
#[command(
    name = "qianmo",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes; shown after what is the command's own.
#[derive(Debug, Args)]
pub(crate) struct Global {
    #[arg(long, global = true, value_name = "DIR", display_order = 90)]
    pub(crate) data: Option<PathBuf>,
    #[arg(long, global = true, value_enum, value_name = "zh|en", hide_possible_values = true, display_order = 91)]
    pub(crate) lang: Option<Language>,
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 92)]
    pub(crate) verbose: u8,
    #[arg(short, long, global = true, action = clap::ArgAction::Help, display_order = 93)]
    pub(crate) help: Option<bool>,
    #[arg(short = 'V', long, action = clap::ArgAction::Version, display_order = 94)]
    pub(crate) version: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Zh,
    En,
}

impl From<Language> for Lang {
    fn from(language: Language) -> Self {
        match language {
            Language::Zh => Self::Zh,
            Language::En => Self::En,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ui(Ui),
    Enroll(Enroll),
    New(New),
    Drafts(Drafts),
    Edit(Edit),
    List(List),
    Show(Show),
    Resolve(Resolve),
    Review(Review),
    Sync(Sync),
    Status(Status),
    Export(Export),
    Import(Import),
    Duplicates(Duplicates),
    Bundle(Bundle),
    Evict(Evict),
    BringBack(BringBack),
    Forms(Forms),
}

#[derive(Debug, Args)]
pub(crate) struct Ui {
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) port: u16,
    #[arg(long)]
    pub(crate) no_open: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    #[arg(value_name = "TICKET")]
    pub(crate) ticket: String,
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    #[arg(value_name = "FORM")]
    pub(crate) form: Option<String>,
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<Assignment>,
    #[arg(long)]
    pub(crate) draft: bool,
    #[arg(long, value_name = "CODE")]
    pub(crate) station: Option<String>,
    #[arg(long, value_name = "CODE")]
    pub(crate) person: Option<String>,
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    pub(crate) month: Option<String>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Drafts {
    #[command(subcommand)]
    pub(crate) act: Option<DraftAct>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DraftAct {
    Resume(DraftChoice),
    Discard(DraftChoice),
}

#[derive(Debug, Args)]
pub(crate) struct DraftChoice {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[arg(value_name = "RECORD")]
    pub(crate) record: String,
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<Assignment>,
    #[arg(long, value_name = "VERSION")]
    pub(crate) at: Option<String>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) which: Which,
    #[arg(long, value_enum, hide_possible_values = true, value_name = "STATE")]
    pub(crate) state: Option<State>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=LIST_MAX), value_name = "N")]
    pub(crate) limit: u64,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    #[arg(long, value_name = "CODE")]
    pub(crate) station: Option<String>,
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    pub(crate) month: Option<String>,
    #[arg(long, value_name = "FORM")]
    pub(crate) form: Option<String>,
}

impl Which {
    /// Whether it leaves anything out.
    pub(crate) const fn is_narrow(&self) -> bool {
        self.station.is_some() || self.month.is_some() || self.form.is_some()
    }
}

/// What a list may be asked for: a state of delivery or of review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    #[value(alias = "待上传")]
    Waiting,
    #[value(alias = "被隔离")]
    Held,
    #[value(alias = "冲突")]
    Conflict,
    #[value(alias = "未提交")]
    Unsubmitted,
    #[value(alias = "待审核")]
    Pending,
    #[value(alias = "已通过")]
    Approved,
    #[value(alias = "退回")]
    Returned,
    #[value(alias = "已撤销")]
    Withdrawn,
    #[value(alias = "意见不一致")]
    Disagreed,
}

impl State {
    pub(crate) const fn delivery(self) -> Option<DeliveryFilter> {
        match self {
            Self::Waiting => Some(DeliveryFilter::Waiting),
            Self::Held => Some(DeliveryFilter::Held),
            Self::Conflict => Some(DeliveryFilter::Conflicting),
            Self::Unsubmitted | Self::Pending | Self::Approved | Self::Returned | Self::Withdrawn | Self::Disagreed => {
                None
            }
        }
    }

    pub(crate) const fn review(self) -> Option<ReviewStatus> {
        match self {
            Self::Waiting | Self::Held | Self::Conflict => None,
            Self::Unsubmitted => Some(ReviewStatus::Unsubmitted),
            Self::Pending => Some(ReviewStatus::Pending),
            Self::Approved => Some(ReviewStatus::Approved),
            Self::Returned => Some(ReviewStatus::Returned),
            Self::Withdrawn => Some(ReviewStatus::Withdrawn),
            Self::Disagreed => Some(ReviewStatus::Disagreed),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[arg(value_name = "RECORD")]
    pub(crate) record: String,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Resolve {
    #[arg(value_name = "RECORD")]
    pub(crate) record: String,
    #[arg(value_name = "FIELD")]
    pub(crate) field: Option<String>,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "value")]
    pub(crate) keep: Option<u16>,
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
    #[arg(long, value_name = "VERSION")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Review {
    #[command(subcommand)]
    pub(crate) act: Option<ReviewAct>,
    #[command(flatten)]
    pub(crate) queue: Queue,
}

#[derive(Debug, Args)]
pub(crate) struct Queue {
    #[command(flatten)]
    pub(crate) which: Which,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=LIST_MAX), value_name = "N")]
    pub(crate) limit: u64,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewAct {
    Approve(Bulk),
    Return(Return),
    Reopen(Noted),
    Submit(Noted),
    Withdraw(Withdraw),
    Comment(Comment),
    Reasons,
}

/// One record, the version the person saw, and words about it.
#[derive(Debug, Args)]
pub(crate) struct Noted {
    #[arg(value_name = "RECORD")]
    pub(crate) record: String,
    #[arg(long, value_name = "VERSION")]
    pub(crate) at: Option<String>,
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[arg(long, value_name = "FIELD=NOTE", value_parser = assignment)]
    pub(crate) field: Vec<Assignment>,
}

#[derive(Debug, Args)]
pub(crate) struct Bulk {
    #[arg(value_name = "RECORD", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) records: Vec<String>,
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) which: Which,
    #[arg(long, value_name = "VERSION")]
    pub(crate) at: Option<String>,
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[arg(long)]
    pub(crate) yes: bool,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Return {
    #[command(flatten)]
    pub(crate) noted: Noted,
    #[arg(long, value_name = "REASON", required = true)]
    pub(crate) reason: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    #[arg(value_name = "RECORD")]
    pub(crate) record: String,
    #[arg(long, value_name = "CODE")]
    pub(crate) reason: Option<String>,
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Comment {
    #[command(flatten)]
    pub(crate) noted: Noted,
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[arg(long)]
    pub(crate) watch: bool,
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_S_MAX))]
    pub(crate) timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) which: Which,
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    #[arg(long, value_enum, hide_possible_values = true, value_name = "json|csv")]
    pub(crate) format: Option<Format>,
    #[arg(long)]
    pub(crate) with_personal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[arg(value_name = "LEDGER")]
    pub(crate) ledger: PathBuf,
    #[arg(long, value_name = "DIR")]
    pub(crate) with: PathBuf,
    #[arg(long, value_name = "YYYY", value_parser = clap::value_parser!(u16).range(2000..=2199))]
    pub(crate) year: u16,
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub(crate) rejected: Option<PathBuf>,
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[arg(long)]
    pub(crate) without_states: bool,
    #[arg(long, value_name = "CODE")]
    pub(crate) station: Vec<String>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Duplicates {
    #[arg(long)]
    pub(crate) withdraw: bool,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Evict {
    #[arg(value_name = "LOGBOOK", required_unless_present_any = ["before", "list"])]
    pub(crate) logbooks: Vec<String>,
    #[arg(long, value_name = "YYYY-MM", value_parser = month, conflicts_with = "logbooks")]
    pub(crate) before: Option<String>,
    #[arg(long, conflicts_with_all = ["logbooks", "before"])]
    pub(crate) list: bool,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BringBack {
    #[arg(value_name = "LOGBOOK", required = true)]
    pub(crate) logbooks: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct Forms {
    #[command(subcommand)]
    pub(crate) act: Option<FormsAct>,
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) with: Option<PathBuf>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FormsAct {
    Show(FormsShow),
    Check(FormsCheck),
}

#[derive(Debug, Args)]
pub(crate) struct FormsShow {
    #[arg(value_name = "FORM")]
    pub(crate) form: String,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FormsCheck {
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bundle {
    #[command(subcommand)]
    pub(crate) act: BundleAct,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleAct {
    Export(BundleExport),
    Import(BundleImport),
}

#[derive(Debug, Args)]
pub(crate) struct BundleExport {
    #[arg(long, value_enum, hide_possible_values = true, value_name = "hub|tablet")]
    pub(crate) to: Destination,
    #[arg(long, value_enum, hide_possible_values = true, value_name = "waiting|station|everything")]
    pub(crate) what: Option<BundleWhat>,
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Destination {
    Hub,
    Tablet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleWhat {
    Waiting,
    Station,
    Everything,
}

#[derive(Debug, Args)]
pub(crate) struct BundleImport {
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[arg(long, value_name = "TEXT")]
    pub(crate) passphrase: Option<String>,
}

/// `field=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) field: String,
    pub(crate) value: String,
}

fn assignment(text: &str) -> Result<Assignment, &'static str> {
    match text.split_once('=') {
        Some((field, value)) if !field.trim().is_empty() => {
            Ok(Assignment { field: field.trim().to_owned(), value: value.to_owned() })
        }
        Some(_) | None => Err("FIELD=VALUE"),
    }
}

fn month(text: &str) -> Result<String, &'static str> {
    let fits = text.split_once('-').is_some_and(|(year, month)| {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        year.len() == 4 && month.len() == 2 && digits(year) && matches!(month.parse(), Ok(1..=12_u8))
    });
    if fits { Ok(text.to_owned()) } else { Err("YYYY-MM") }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
    }

    #[test]
    fn grammar_has_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn set_takes_everything_after_the_first_equals_sign() {
        let cli = parse("qianmo new visit --set content=a=b --set 日期=2025-06-18 --draft --lang zh").unwrap();
        let Command::New(new) = cli.command else { panic!("not new") };
        let pairs: Vec<(&str, &str)> = new.set.iter().map(|set| (set.field.as_str(), set.value.as_str())).collect();
        assert_eq!(pairs, [("content", "a=b"), ("日期", "2025-06-18")]);
        assert!(new.draft);
        assert_eq!(cli.global.lang, Some(Language::Zh));
    }

    #[test]
    fn states_have_their_chinese_names() {
        for (word, state) in [("待上传", State::Waiting), ("returned", State::Returned), ("退回", State::Returned)]
        {
            let Command::List(list) = parse(&format!("qianmo list --state {word}")).unwrap().command else {
                panic!("not list")
            };
            assert_eq!(list.state, Some(state));
            assert!(state.delivery().is_some() != state.review().is_some());
        }
    }

    #[test]
    fn nonsense_is_refused_where_it_stands() {
        use clap::error::ErrorKind;
        assert_eq!(parse("qianmo new visit --set content").unwrap_err(), ErrorKind::ValueValidation);
        assert_eq!(parse("qianmo list --month 2025-13").unwrap_err(), ErrorKind::ValueValidation);
        assert_eq!(parse("qianmo list --month ２０２５-01").unwrap_err(), ErrorKind::ValueValidation);
        assert_eq!(parse("qianmo list --limit 0").unwrap_err(), ErrorKind::ValueValidation);
        assert_eq!(parse("qianmo resolve 1a2b f --keep 1 --value x").unwrap_err(), ErrorKind::ArgumentConflict);
        assert_eq!(parse("qianmo evict").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse("qianmo evict ST01/2025-06 --before 2025-07").unwrap_err(), ErrorKind::ArgumentConflict);
        assert_eq!(parse("qianmo bring-back").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse("qianmo frobnicate").unwrap_err(), ErrorKind::InvalidSubcommand);
    }
}
