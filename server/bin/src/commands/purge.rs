//! `purge`: erases a record, or a service target with everything that ever referred to it, for good.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use crate::cli::{Common, Purge};
use crate::control_socket::Request;
use crate::failure::{Exit, Failure};
use crate::lang::Lang;
use crate::office::{ErasuresAnswer, Office, PurgeAnswer, PurgeAsked};
use crate::screen::{self, Table, line};

/// Documents that a person is shown one by one.
const SHOWN_MAX: usize = 20;
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 256;

/// Erases, or lists what was erased.
///
/// # Errors
/// The hub's refusal, or that nobody confirmed.
pub(crate) fn run(common: &Common, args: &Purge, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let (Some(record), Some(reason)) = (&args.record, args.reason) else { return list(&office, args, lang) };
    let asked = PurgeAsked {
        doc: record.clone(),
        target: args.target,
        reason: reason.code(),
        even_if_unsaved: args.even_if_unsaved,
    };
    let plan: PurgeAnswer = office.ask(Request::PurgePlan(asked.clone()))?;
    if !args.yes {
        confirm(&plan, args, lang)?;
    }
    let done: PurgeAnswer = office.ask(Request::Purge(asked))?;
    if args.json {
        return Ok(screen::json(&done)?);
    }
    let label = lang.label("已永久删除", "erased for good:");
    line(format!("{label} {}", counts(&done, lang)))?;
    let zh = "平板下次连接时各自删除。请现在做一次备份(qianmo-server backup):它不再含有这些内容,也让以后的恢复知道这次删除。以前的备份里还有,到期请销毁。";
    let en = "Tablets erase their copies when they next connect. Back up now (qianmo-server backup): that backup no longer holds it, and a restore from it knows of the erasure. Older backups still hold it; destroy them when they are due.";
    line(lang.say(zh, en))?;
    Ok(())
}

fn counts(answer: &PurgeAnswer, lang: Lang) -> String {
    let (records, reviews) = (answer.records, answer.reviews);
    lang.say_owned(
        format!("记录 {records} 条,审核和评论 {reviews} 条"),
        format!("{records} records, {reviews} reviews and comments"),
    )
}

/// Names what goes, and waits for a yes.
fn confirm(plan: &PurgeAnswer, args: &Purge, lang: Lang) -> Result<(), Failure> {
    if args.json || !io::stdin().is_terminal() {
        let what = "an erasure cannot be taken back, and nobody is here to confirm it";
        return Err(Failure::new(Exit::Usage, what, "look at what goes without --json, then say --yes"));
    }
    let heading = lang.label("将永久删除,不能恢复", "this goes for good and cannot be brought back:");
    line(format!("{heading} {}", counts(plan, lang)))?;
    let mut table = Table::plain();
    for one in plan.documents.iter().take(SHOWN_MAX) {
        let what = match &one.about {
            Some(record) => format!("{} {record}", lang.label("审核或评论,关于", "review or comment of")),
            None => lang.label("记录", "record"),
        };
        table.row([one.doc.clone(), one.logbook.clone(), what]);
    }
    line(table.render())?;
    let more = plan.documents.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        line(format!("  … {} {more}", lang.label("另有", "and more:")))?;
    }
    if plan.unsaved > 0 {
        line(format!("! {} {}", lang.label("没有备份的", "in no backup and on no other device:"), plan.unsaved))?;
    }
    let mut out = io::stdout().lock();
    write!(out, "{} ", lang.say("输入 yes 确认:", "type yes to go on:"))?;
    out.flush()?;
    let mut answer = String::new();
    io::BufReader::new(io::stdin().lock().take(ANSWER_BYTES_MAX)).read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "nothing was erased: it was not confirmed", "answer yes, or say --yes"))
}

fn list(office: &Office, args: &Purge, lang: Lang) -> Result<(), Failure> {
    let answer: ErasuresAnswer = office.ask(Request::Erasures)?;
    if args.json {
        return Ok(screen::json(&answer)?);
    }
    if answer.erased.is_empty() {
        line(lang.say("还没有永久删除过什么", "nothing was ever erased"))?;
    }
    let mut table = Table::plain();
    for one in &answer.erased {
        let what = if one.target { lang.label("服务对象", "service target") } else { String::new() };
        table.row([one.doc.clone(), one.reason.to_string(), what]);
    }
    if !answer.erased.is_empty() {
        line(table.render())?;
    }
    if !answer.carried_out {
        line(
            lang.say("字节还没有全部删除,管理端启动后会做完", "not all bytes are gone yet; a running hub finishes it"),
        )?;
    }
    if !answer.waiting.is_empty() {
        let zh = "后来送到、涉及已删除内容的,请一并删除(purge ID):";
        let en = "came later and refers to what is erased; erase it, too (purge ID):";
        line(lang.say(zh, en))?;
        let mut table = Table::plain();
        for one in &answer.waiting {
            table.row([one.doc.clone(), one.because_of.clone().unwrap_or_default()]);
        }
        line(table.render())?;
    }
    Ok(())
}
