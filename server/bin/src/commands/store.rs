//! `stats`, `export`, `verify`, `backup`, `restore`: the store as a whole.

use qianmo_server::admin::{self, Folder, FolderError, ManifestError, RestoreError, RestoreReport};
use qianmo_server::config::Overrides;
use qianmo_server::hub::ClockCheck;
use qianmo_server::registry::{DeviceRow, DeviceStanding};
use qianmo_server::server::wall_clock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value};

use crate::cli::{Backup, Common, Export, Rebuild, Restore, Stats, Verify};
use crate::commands::absolute;
use crate::control_socket::Request;
use crate::failure::{Exit, Failure, OrFail as _};
use crate::lang::Lang;
use crate::office::{self, BackupAnswer, ExportAnswer, Office, StatsAnswer, VerifyAnswer};
use crate::screen::{self, Table, line};
use crate::{settings, times};

/// Shows state and counts.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn stats(common: &Common, args: &Stats, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let stats: StatsAnswer = office.ask(Request::Stats)?;
    let figures: Map<String, Value> = office.ask(Request::Figures { year: args.year })?;
    if args.json {
        let mut whole = serde_json::to_value(&stats).or_fail(Exit::Failed, "the answer cannot be written down", "")?;
        if let Some(whole) = whole.as_object_mut() {
            whole.extend(figures);
        }
        return Ok(screen::json(&whole)?);
    }
    let mut table = Table::plain();
    for (zh, en, value) in stats.lines() {
        table.row([lang.label(zh, en), value]);
    }
    line(table.render())?;
    show_figures(&figures, lang)
}

/// What a person looks at first; the rest is in `--json`.
fn show_figures(figures: &Map<String, Value>, lang: Lang) -> Result<(), Failure> {
    let Some(year) = figures.get("year").and_then(Value::as_i64) else { return Ok(()) };
    let number = |part: &str, key: &str| {
        figures
            .get(part)
            .and_then(|part| part.get(key))
            .filter(|value| !value.is_null())
            .map_or_else(|| "–".to_owned(), ToString::to_string)
    };
    let official = |key: &str| number("approved_aggregates", key);
    line("")?;
    let title = format!("{year} {}", lang.label("年度统计(通过审核的记录)", "figures (approved records)"));
    line(title)?;
    let mut table = Table::plain();
    let all = format!("{} / {}", official("records"), number("accepted_aggregates", "records"));
    let sessions = format!("{} · {}", official("training_sessions"), official("training_attendees"));
    let demands =
        format!("{} / {} · {}%", official("demands_closed"), official("demands"), official("demand_closure_rate_pct"));
    let area = format!("{} · {}", official("promoted_area_mu"), official("households_covered"));
    let satisfaction = format!("{} (n={})", official("satisfaction_avg"), official("satisfaction_n"));
    for (zh, en, value) in [
        ("记录(通过/全部)", "records (approved/all)", all),
        ("服务对象", "service targets", official("distinct_targets")),
        ("培训(场次·人次)", "training (sessions · attendances)", sessions),
        ("示范推广(亩·户)", "promoted (mu · households)", area),
        ("需求(办结/全部·办结率)", "demands (closed/all · rate)", demands),
        ("平均满意度", "mean satisfaction", satisfaction),
    ] {
        table.row([lang.label(zh, en), value]);
    }
    line(table.render())?;
    Ok(())
}

/// Builds the read model anew.
///
/// # Errors
/// The store cannot be read, or the model not written.
pub(crate) fn rebuild(common: &Common, args: &Rebuild, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let records: u64 = office.ask(Request::Rebuild)?;
    if args.json {
        return Ok(screen::json(&serde_json::json!({ "records": records }))?);
    }
    line(format!("{} {records}", lang.label("查询库已重建,记录", "the read model was built anew; records:")))?;
    Ok(())
}

/// Exports all records.
///
/// # Errors
/// The file is there already, or cannot be written.
pub(crate) fn export(common: &Common, args: &Export, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let done: ExportAnswer = office.ask(Request::Export { to: absolute(&args.to)?, personal: args.personal })?;
    line(format!("{} {} → {}", lang.label("已导出记录", "records exported:"), done.records, done.to.display()))?;
    Ok(())
}

/// Backs up.
///
/// # Errors
/// There is nowhere to, or it cannot be written.
pub(crate) fn backup(common: &Common, args: &Backup, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let to = args.to.clone().or_else(|| office.config().backup.dir.clone()).ok_or_else(|| {
        Failure::new(Exit::Usage, "there is nowhere to back up to", "name a folder with --to DIR, or set backup.dir")
    })?;
    let done: BackupAnswer = office.ask(Request::Backup { to: absolute(&to)? })?;
    if args.json {
        return Ok(screen::json(&done)?);
    }
    let bytes = screen::bytes(done.bytes);
    line(format!("{} {} ({} · {bytes})", lang.label("已备份到", "backed up to"), done.to.display(), done.files))?;
    let copied = screen::bytes(done.copied_bytes);
    line(format!("{} {copied} ({})", lang.label("本次复制", "copied this time"), done.copied_files))?;
    let (before, commit) = (done.watermark_before, done.commit);
    line(format!("{} {before} → {commit}", lang.label("已备份至提交", "backed up to commit")))?;
    if done.mended_files > 0 {
        let zh = "份旧拷贝已经变了,已重新复制;请留意备份盘";
        let en = "older copies had changed and were made anew; watch the backup's disk";
        line(format!("{} {}", done.mended_files, lang.say(zh, en)))?;
    }
    for name in &done.left_over {
        let label =
            lang.label("未能删除的旧文件,可能含已抹除的内容:", "an old file that may hold what was erased stays:");
        line(format!("{label} {name}"))?;
    }
    if done.on_same_disk {
        let zh = "备份和数据在同一块盘上:盘坏了两样都没有。请每天另存到别的盘。";
        let en = "This backup is on the hub's own disk and would be lost with it: copy it to another disk every day.";
        line(lang.say(zh, en))?;
    }
    let zh = "里面有私钥,请像服务器一样看管,并每天另存一份到别处。";
    let en = "It holds the private keys: guard it like the server, and copy it elsewhere every day.";
    line(lang.say(zh, en))?;
    Ok(())
}

/// Checks a data folder or a backup.
///
/// # Errors
/// Something does not hold.
pub(crate) fn verify(common: &Common, args: &Verify, lang: Lang) -> Result<(), Failure> {
    let found: VerifyAnswer = match &args.dir {
        Some(dir) => office::verify_folder(dir)?,
        None => Office::open(common)?.ask(Request::Verify)?,
    };
    if args.json {
        screen::json(&found)?;
    } else {
        show_found(&found, lang)?;
    }
    if found.sound {
        return Ok(());
    }
    let what = format!("{} things do not hold", found.faults.len());
    Err(Failure::new(Exit::NotHeld, what, "keep this folder as it is, and restore the newest backup that verifies"))
}

fn show_found(found: &VerifyAnswer, lang: Lang) -> Result<(), Failure> {
    let mut table = Table::plain();
    table.row([lang.label("最后一次提交", "last commit"), found.commit.to_string()]);
    table.row([lang.label("已备份至提交", "backed up to commit"), found.watermark.to_string()]);
    table.row([lang.label("段 · 帧", "segments · frames"), format!("{} · {}", found.segments, found.frames)]);
    table.row([lang.label("批次(签名与内容)", "packs (signature and contents)"), found.packs.to_string()]);
    table.row([lang.label("回执(签名)", "receipts (signatures)"), found.receipts.to_string()]);
    table.row([lang.label("按决定抹除的条目", "entries erased by decision"), found.erased_entries.to_string()]);
    table.row([lang.label("管理记录", "control entries"), found.control_entries.to_string()]);
    table.row([lang.label("日志本(状态重算)", "logbooks (state computed anew)"), found.logbooks.to_string()]);
    line(table.render())?;
    for fault in &found.faults {
        line(format!("  ! {fault}"))?;
    }
    for note in &found.notes {
        line(format!("  · {note}"))?;
    }
    if found.sound {
        line(lang.label("全部完好", "everything holds"))?;
    }
    Ok(())
}

/// Restores a backup into an empty folder.
///
/// # Errors
/// The backup is damaged, or the folder is not empty.
pub(crate) fn restore(common: &Common, args: &Restore, lang: Lang) -> Result<(), Failure> {
    let config = settings::load(common, Overrides::default())?;
    let folder = Folder::new(&config.data_dir);
    let clock = if args.confirm_clock { ClockCheck::Confirmed } else { ClockCheck::Strict };
    let restored = admin::restore(&args.from, &folder, clock, wall_clock(), StdRng::from_os_rng());
    let report = restored.map_err(|error| restore_failed(error, &config.data_dir))?;
    let data = config.data_dir.display();
    line(format!("{} {data} ({} · {})", lang.label("已恢复到", "restored into"), report.files, report.commit))?;
    line(format!("{} {} → {}", lang.label("世代", "epoch"), report.old_epoch, report.epoch))?;
    let made = times::minute(report.made_at.0);
    line(format!("{} {made}", lang.label("备份时间(北京时间)", "backed up at (Beijing time)")))?;
    if let Some(config) = &report.config {
        line(format!(
            "{} {}",
            lang.label("配置也在备份里,放在", "the backup's configuration is in"),
            config.display()
        ))?;
    }
    line("")?;
    show_next(&report, lang)
}

/// What happens now, in words, and which devices wait.
fn show_next(report: &RestoreReport, lang: Lang) -> Result<(), Failure> {
    let zh = [
        "1. 旧机器从此不能再运行,一会儿也不行。",
        "2. 启动服务:qianmo-server serve。平板不用动,下次连接时自己把备份之后的内容补送上来,停用、抹除、登记也一样。",
        "3. 平板上\"已备份\"会先变回\"待上传\"或\"已送达\",补送、再备份之后恢复:看到什么就是什么。",
        "4. 下面的设备确认之前只能上传,收不到记录:核对后 qianmo-server confirm 编号;都来过之后可用 confirm --all。",
        "5. 尽快再备份一次。",
    ];
    let en = [
        "1. Never run the old machine again, not even for a moment.",
        "2. Start the hub: qianmo-server serve. Nobody touches a tablet: when it next connects it brings what came after the backup, and the revocations, erasures and enrolments made since.",
        "3. On tablets \"backed up\" may fall back to \"waiting\" or \"delivered\" until that is done and backed up again: what they show is so.",
        "4. Until confirmed, these devices may upload and receive no records: qianmo-server confirm DEVICE, once you have checked; or confirm --all, once every tablet has been here.",
        "5. Back up again soon.",
    ];
    for (zh, en) in zh.iter().zip(en) {
        line(lang.say(zh, en))?;
    }
    let waiting = |row: &&DeviceRow| !row.is_hub && row.standing == DeviceStanding::NotConfirmed;
    let mut table = Table::new([
        lang.label("待确认的设备", "to be confirmed"),
        lang.label("名称", "label"),
        lang.label("站", "station"),
        lang.label("人员", "persons"),
    ]);
    let mut count = 0;
    for row in report.devices.iter().filter(waiting) {
        count += 1;
        let persons: Vec<String> = row.persons.iter().map(ToString::to_string).collect();
        table.row([
            row.device.to_string(),
            row.label.clone().unwrap_or_default(),
            row.station.as_ref().map(ToString::to_string).unwrap_or_default(),
            persons.join(" "),
        ]);
    }
    if count > 0 {
        line("")?;
        line(table.render())?;
    }
    Ok(())
}

fn restore_failed(error: RestoreError, dir: &std::path::Path) -> Failure {
    let (exit, next) = match &error {
        RestoreError::Folder(FolderError::NotEmpty { .. }) => (Exit::WrongFolder, "name an empty folder with --data"),
        RestoreError::Manifest(ManifestError::Missing { .. }) => {
            (Exit::Usage, "name the folder that `backup` wrote with --from")
        }
        RestoreError::Damaged { .. } | RestoreError::Manifest(_) => {
            (Exit::NotHeld, "empty the folder, then restore an older backup or another copy")
        }
        RestoreError::Folder(FolderError::Io { source, .. }) if source.kind() == std::io::ErrorKind::StorageFull => {
            (Exit::Failed, "the disk is full: make room, empty the folder and try again")
        }
        RestoreError::Read { .. } => (Exit::Failed, "is the backup's disk there? run this as a user that may read it"),
        RestoreError::Folder(_)
        | RestoreError::Keys(_)
        | RestoreError::Authority(_)
        | RestoreError::Disk(_)
        | RestoreError::Hub(_) => (Exit::Failed, "empty the folder and try again as the user that will own it"),
    };
    let what = format!("nothing was restored into {}", dir.display());
    Failure { exit, error: anyhow::Error::new(error).context(what), next: next.to_owned() }
}
