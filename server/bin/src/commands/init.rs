//! `init`: makes an organisation, and says what comes next.

use std::path::{Path, PathBuf};

use qianmo_server::admin::{self, FolderError, InitError, InitOrder};
use qianmo_server::config::{Overrides, ServerConfig};
use qianmo_server::protocol::ids::Code;
use qianmo_server::server::wall_clock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use zeroize::Zeroizing;

use crate::cli::{Common, Init};
use crate::commands::account::fresh_password;
use crate::failure::{Exit, Failure, OrFail as _};
use crate::lang::Lang;
use crate::screen::line;
use crate::settings::{self, FILE_IN_DATA};

/// Makes the organisation.
///
/// # Errors
/// A name that is missing, a folder that is not empty or cannot be written.
pub(crate) fn run(common: &Common, args: &Init, lang: Lang) -> Result<(), Failure> {
    let flags = Overrides { organisation_name: args.name.clone(), ..settings::overrides(&args.addresses) };
    let config = settings::load(common, flags)?;
    if config.organisation.name.trim().is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "the organisation has no name",
            "give it the name people know: qianmo-server init --name 样例区推广站, or organisation.name in the configuration",
        ));
    }
    let password = make(&config, &args.admin)?;
    let file = match settings::file(common) {
        Some(named) => named,
        None => write_config(&config)?,
    };
    say_next(&config, &file, common.config.is_some(), (&args.admin, &password), lang)
}

/// Makes the organisation that a configuration describes. Answers the password of the administrator's account.
///
/// # Errors
/// As [`run`].
pub(crate) fn make(config: &ServerConfig, administrator: &str) -> Result<Zeroizing<String>, Failure> {
    let admin_code = Code::new(administrator).or_fail(
        Exit::Usage,
        format!("{administrator:?} is no person code"),
        "use a code such as A01, never a name: it is written into permanent logs",
    )?;
    let dir = config.data_dir.clone();
    let (password, hash) = fresh_password()?;
    let order = InitOrder {
        dir: dir.clone(),
        organisation: config.organisation.name.clone(),
        admin: admin_code,
        password: Some(hash),
    };
    admin::init(&order, wall_clock(), StdRng::from_os_rng()).map_err(|error| {
        let (exit, next) = match &error {
            InitError::Folder(FolderError::NotEmpty { .. }) => {
                (Exit::WrongFolder, "choose an empty folder with --data; an organisation is made once")
            }
            InitError::Folder(_) => {
                (Exit::Failed, "choose a folder you may write with --data, or run it as the user qianmo")
            }
            InitError::Authority(_)
            | InitError::Keys(_)
            | InitError::Disk(_)
            | InitError::Account(_)
            | InitError::Hub(_) => (Exit::Failed, "empty the folder and try again"),
        };
        let what = format!("no organisation was made in {}", dir.display());
        Failure { exit, error: anyhow::Error::new(error).context(what), next: next.to_owned() }
    })?;
    Ok(password)
}

/// Writes the configuration beside the data, so that every later command needs only `--data`.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_config(config: &ServerConfig) -> Result<PathBuf, Failure> {
    let path = config.data_dir.join(FILE_IN_DATA);
    let failed = || format!("the organisation was made, but {} could not be written", path.display());
    let text =
        toml::to_string(config).or_fail(Exit::Failed, failed(), "write it by hand after deploy/qianmo.example.toml")?;
    let text = format!("# Written by `qianmo-server init`. Every key: deploy/qianmo.example.toml\n{text}");
    std::fs::write(&path, text).or_fail(Exit::Failed, failed(), "write it by hand after deploy/qianmo.example.toml")?;
    Ok(path)
}

fn say_next(
    config: &ServerConfig,
    file: &Path,
    is_named: bool,
    (login, password): (&str, &str),
    lang: Lang,
) -> Result<(), Failure> {
    let data = config.data_dir.display();
    let name = &config.organisation.name;
    let flag = if is_named { format!("--config {}", file.display()) } else { format!("--data {data}") };
    line(format!("{}: {name} ({data})", lang.label("已建立", "made")))?;
    line(format!("{}: {}", lang.label("配置文件", "configuration"), file.display()))?;
    let once = lang.say("只显示这一次,第一次登录时要改", "shown this once, changed at the first sign-in");
    line(format!("{}: {login} / {password}  ({once})", lang.label("页面的管理员账号", "the pages' administrator")))?;
    line("")?;
    line(format!("{}:", lang.label("下一步", "next")))?;
    if config.quic.ticket_addresses().is_empty() {
        let zh = "写上平板能连到的地址";
        let en = "set what tablets can reach";
        line(format!("  0. {}: quic.advertise = [\"HOST:4433\"]  ({})", lang.label(zh, en), file.display()))?;
    }
    line(format!(
        "  1. {}: qianmo-server backup {flag} --to DIR",
        lang.label("今天就备份,密钥只此一份", "back up today, the keys exist nowhere else")
    ))?;
    line(format!("  2. {}: qianmo-server serve {flag}", lang.label("运行", "run")))?;
    let tablet = lang.label("给平板开票", "make a ticket for a tablet");
    line(format!("  3. {tablet}: qianmo-server enroll {flag} --station ST01 --person P01"))?;
    let coordinator = lang.label("给协调员开账号", "make an account for a coordinator");
    line(format!("  4. {coordinator}: qianmo-server account add {flag} C01 --role coordinator --district"))?;
    Ok(())
}
