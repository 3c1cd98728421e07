//! `bundle import`: takes in a file that somebody carried here.

use crate::cli::{Bundle, BundleAct, Common};
use crate::commands::absolute;
use crate::control_socket::Request;
use crate::failure::Failure;
use crate::lang::Lang;
use crate::office::{ImportAnswer, Office};
use crate::screen::{self, Table, line};
use crate::times;

/// Imports a bundle.
///
/// # Errors
/// It is not for this hub, or not whole.
pub(crate) fn run(common: &Common, args: &Bundle, lang: Lang) -> Result<(), Failure> {
    let BundleAct::Import(args) = &args.act;
    let office = Office::open(common)?;
    let done: ImportAnswer = office.ask(Request::ImportBundle { file: absolute(&args.file)? })?;
    if args.json {
        return Ok(screen::json(&done)?);
    }
    let made = times::minute(done.made_at_ms);
    line(format!("{} {} ({made})", lang.label("来自设备", "from device"), done.from))?;
    let mut table = Table::plain();
    table.row([lang.label("批次", "packs"), done.packs.to_string()]);
    table.row([lang.label("已落盘(含已有的)", "durable here, known ones included"), done.held.to_string()]);
    table.row([lang.label("新记录", "new records"), done.records_new.to_string()]);
    table.row([lang.label("新管理记录", "new control entries"), done.control.to_string()]);
    for (why, count) in &done.refused {
        table.row([lang.label("没有收下", "not taken"), format!("{count}: {why}")]);
    }
    line(table.render())?;
    let zh = "送文件的平板下次自己连接时会看到已送达。";
    let en = "The tablet that made the file sees 已送达 when it next connects itself.";
    line(lang.say(zh, en))?;
    Ok(())
}
