//! `enroll`, `devices`, `revoke`, `confirm`: who belongs to the organisation.

use crate::cli::{Common, Confirm, Enroll, Listing, Revoke};
use crate::control_socket::{Request, TicketOrder};
use crate::failure::Failure;
use crate::lang::Lang;
use crate::office::{DeviceAnswer, Office, TicketAnswer};
use crate::screen::{self, Table, line};
use crate::{qr, times};

/// Makes a ticket and shows it.
///
/// # Errors
/// The hub's refusal.
pub(crate) fn enroll(common: &Common, args: Enroll, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let order = TicketOrder {
        station: args.station.clone(),
        persons: args.person.clone(),
        role: args.role.as_str().to_owned(),
        district: args.district,
        valid_hours: args.valid_hours,
        replaces: args.replaces,
    };
    let answer: TicketAnswer = office.ask(Request::Enroll(order))?;
    if args.json {
        return Ok(screen::json(&answer)?);
    }
    let persons = args.person.join(", ");
    let scope = if args.district { lang.label("全区", "district") } else { args.station };
    line(format!(
        "{}: {persons}, {}, {scope}",
        lang.label("新平板的票", "ticket for a new tablet"),
        args.role.as_str()
    ))?;
    let until = times::minute(answer.expires_ms);
    let once = lang.say("只能用一次", "good once");
    line(format!("{} {until} ({}), {once}", lang.label("有效至", "good until"), lang.say("北京时间", "Beijing time")))?;
    line(format!("{} {}", lang.label("平板将连接", "the tablet will dial"), answer.addresses.join(", ")))?;
    line("")?;
    if !args.no_qr {
        match qr::draw(&answer.ticket) {
            Some(code) => line(code)?,
            None => line(lang.say("(票太长,画不成二维码)", "(too long for a QR code)"))?,
        }
    }
    line(format!("{}:", lang.label("在平板上输入", "type on the tablet")))?;
    line(format!("  qianmo enroll {}", answer.ticket))?;
    Ok(())
}

/// Lists the devices.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn list(common: &Common, args: &Listing, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let devices: Vec<DeviceAnswer> = office.ask(Request::Devices)?;
    if args.json {
        return Ok(screen::json(&devices)?);
    }
    let mut table = Table::new([
        lang.label("设备", "device"),
        lang.label("名称", "label"),
        lang.label("站", "station"),
        lang.label("人员", "persons"),
        lang.label("状态", "standing"),
        lang.label("最近来过", "last here"),
    ]);
    for device in &devices {
        let seen = device.last_contact_ms.map_or_else(|| "–".to_owned(), times::minute);
        table.row([
            device.device.clone(),
            if device.hub { lang.label("管理端", "hub") } else { device.label.clone().unwrap_or_default() },
            device.station.clone().unwrap_or_default(),
            device.persons.join(" "),
            standing(device, lang),
            if device.connected { lang.label("在线", "connected") } else { seen },
        ]);
    }
    line(table.render())?;
    if devices.iter().any(|device| device.copied && device.standing == "active") {
        let zh = "\"被复制\":有两份同样的数据以这台设备的名义写过(克隆,或用旧镜像恢复)。内容都已合并,没有丢。\n如果两台都还在用,给其中一台开新票(qianmo-server enroll),在它上面运行 qianmo enroll 票:它的记录都留着。";
        let en = "\"copied\": two copies of this device's data wrote in its name (a clone, or an old image restored). Both are\nmerged, nothing is lost. If both go on being used, make a ticket for one of them (qianmo-server enroll) and run\nqianmo enroll TICKET on it: its records stay.";
        line("")?;
        line(lang.say(zh, en))?;
    }
    Ok(())
}

fn standing(device: &DeviceAnswer, lang: Lang) -> String {
    let standing = standing_word(device, lang);
    if device.copied { format!("{standing} · {}", lang.label("被复制", "copied")) } else { standing }
}

fn standing_word(device: &DeviceAnswer, lang: Lang) -> String {
    match device.standing.as_str() {
        "active" => lang.label("可用", "active"),
        "revoked" => lang.label("已停用", "revoked"),
        "not-confirmed" => lang.label("待确认", "not confirmed"),
        "refused" => lang.label("需重新登记", "must enrol again"),
        other => other.to_owned(),
    }
}

/// Confirms a device after a restore, or all of them.
///
/// # Errors
/// There is no such device.
pub(crate) fn confirm(common: &Common, args: Confirm, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let confirmed: String = office.ask(Request::Confirm { device: args.device })?;
    let label = lang.label("已确认", "confirmed");
    if args.all {
        line(format!(
            "{label}: {}",
            lang.say("全部设备;以后来的也不用再确认", "every device; none needs it any more")
        ))?;
    } else {
        line(format!("{label} {confirmed}"))?;
    }
    Ok(())
}

/// Revokes a device.
///
/// # Errors
/// There is no such device.
pub(crate) fn revoke(common: &Common, args: Revoke, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    let request = Request::Revoke { device: args.device, reason: args.reason.code() };
    let device: String = office.ask(request)?;
    line(format!("{} {device}", lang.label("已停用", "revoked")))?;
    let zh = "它的连接已断开。停用前写的、以后送到的内容会留给协调员放行,不会丢。";
    let en = "Its connections are closed. What it wrote before and uploads later is held for a coordinator, nothing is lost.";
    line(lang.say(zh, en))?;
    Ok(())
}
