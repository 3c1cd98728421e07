//! Words for numbers: why something is held, refused or halted, and what to do about it.
//!
//! The numbers are the protocol's and never change their meaning; the words may get better. Chinese first, English second.

use qianmo_forms::Label;
use qianmo_protocol::session::message::RefuseCode;

/// What a number means to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The number.
    pub code: u16,
    /// What happened.
    pub what: Label,
    /// What to do.
    pub next: Label,
}

/// Explains why a hub holds a change (被隔离): the codes of the gate and of the carrier's rights.
#[must_use]
pub fn explain(code: u16) -> Explanation {
    let (what, next) = words(code);
    Explanation { code, what: label(what), next: label(next) }
}

fn label((zh, en): (&str, &str)) -> Label {
    Label::new(zh, en)
}

type Words = (&'static str, &'static str);

const REWRITE: Words = (
    "内容已退回草稿;请升级应用后重新提交,仍不行请把代码告诉管理员",
    "The values are back as a draft; update the app and hand it in again, or tell the administrator the code",
);
const ASK_ADMIN: Words = (
    "内容没有丢;请把代码告诉管理员或协调员,由他们放行",
    "Nothing is lost; tell the administrator or coordinator the code, they can release it",
);
const WAIT: Words = ("不用做什么,下次同步时会再判断", "Nothing to do; it is judged again at the next sync");

const UPDATE_AND_ASK: Words = (
    "内容没有丢;请升级应用,再把代码告诉管理员,由他们核对后放行",
    "Nothing is lost; update the app and tell the administrator the code: they check and can release it",
);
const ENROL_AGAIN: Words = (
    "内容没有丢;请找管理员核对放行,并重新登记这台设备",
    "Nothing is lost; ask the administrator to check and release it, and to enrol this device again",
);
const SENT_AGAIN: Words = ("会重新打包再送,不用做什么", "It is packed anew and sent again; nothing to do");
const BACK_AS_DRAFT: Words = (
    "已从记录里撤回,内容退回草稿;请重新提交,仍不行请把代码告诉管理员",
    "It is out of the record and its values are back as a draft; hand it in again, or tell the administrator the code",
);

const fn words(code: u16) -> (Words, Words) {
    match code {
        0 => (("它接着写的内容还没有送到,先放着", "What it goes on from has not arrived yet"), WAIT),
        1..=255 => content_words(code),
        256..=511 => carrier_words(code),
        600..=855 => refusal_words(code),
        _ => UNKNOWN,
    }
}

const UNKNOWN: (Words, Words) =
    (("被隔离,本版本不认识这个代码", "Held, with a code this version does not know"), REWRITE);

/// What the gate makes of a change by itself.
const fn content_words(code: u16) -> (Words, Words) {
    match code {
        1..=12 => (("改动的数据格式不合规则", "The change is not built as records are"), REWRITE),
        20 | 21 => (
            ("这条记录改动次数太多", "The record has been changed too often"),
            ("内容已退回草稿;请新建一条记录写下去", "The values are back as a draft; go on in a new record"),
        ),
        22 => (("改动的嵌套层数太深", "The change is nested too deeply"), REWRITE),
        30..=34 => (("改动的编号或署名不对", "The change is numbered or signed wrongly"), REWRITE),
        35 => (
            (
                "同一个编号写了两次:这台设备的程序曾被复制",
                "Two changes have one number: this device's program was copied while it ran",
            ),
            (
                "内容已退回草稿,请核对后重新提交;并请管理员给其中一台设备重新登记",
                "The values are back as a draft: check them and hand them in again; have one of the copies enrolled anew",
            ),
        ),
        40 | 41 => (("改动放错了记录或日志本", "The change came in the wrong record or logbook"), REWRITE),
        42 => (("记录的开头不完整", "The beginning of the record is not complete"), REWRITE),
        43 | 44 => (("审核意见的格式不对", "The review is not built as reviews are"), REWRITE),
        50..=57 => (("改动里有记录不允许的操作", "The change does what no record allows"), REWRITE),
        60..=64 => (("解决冲突的改动不合规则", "The settlement of a conflict breaks a rule"), REWRITE),
        70..=76 => (("管理端读不了这条改动", "The hub cannot read the change"), REWRITE),
        _ => UNKNOWN,
    }
}

/// Whose right it was to bring it, and what a hub limits.
const fn carrier_words(code: u16) -> (Words, Words) {
    match code {
        256 => (("管理端还不认识这台设备", "The device is not known yet"), WAIT),
        257 => (
            ("有两把密钥用同一个设备编号", "Two keys claim this device's id"),
            ("请找管理员重新登记这台设备", "Ask the administrator to enrol this device again"),
        ),
        258 => (("还缺管理记录,暂不能判断", "Decisions are missing that are needed to judge it"), WAIT),
        259 => {
            (("设备已被停用,这是停用之后才送到的", "The device was revoked, and this arrived after the cut"), ASK_ADMIN)
        }
        260 => (("署名的人不是这台设备的使用人", "The person who signed does not work on this device"), ASK_ADMIN),
        261 => (("署名的人没有写这类内容的角色", "The person has no role that may write this"), ASK_ADMIN),
        262 => (("署名的人没有这个工作站的权限", "The person has no right for this station"), ASK_ADMIN),
        263 => {
            (("权限已收回,这是收回之后才送到的", "The right was withdrawn, and this arrived after the cut"), ASK_ADMIN)
        }
        264 => (
            ("作决定时还没有收到授权", "The decision was made before the right was known here"),
            ("请先同步,再重新作一次决定", "Sync first, then decide again"),
        ),
        271 => (("这份内容放在了别的日志本里", "It was put into another logbook than its record lives in"), ASK_ADMIN),
        270 => (("这条改动接着别的设备的编号写", "The change goes on with another device's numbering"), ASK_ADMIN),
        280 => (
            (
                "这台设备在这个日志本里不合规则的内容太多,之后的都先隔离",
                "Too much of what this device wrote in this logbook broke a rule; all that follows is held",
            ),
            UPDATE_AND_ASK,
        ),
        281 => (
            (
                "这台设备的数据被复制过多次,多出来的分支先隔离",
                "This device's data was copied again and again; the branches too many are held",
            ),
            ENROL_AGAIN,
        ),
        282 => {
            (("这台设备在这个日志本里重开的次数太多", "This device began anew in this logbook too often"), ENROL_AGAIN)
        }
        283 => (
            ("记录的月份太靠后", "The record's month lies too far ahead"),
            (
                "请校正设备时间;内容没有丢,管理员核对后可以放行",
                "Set the device's clock right; nothing is lost, the administrator can check and release it",
            ),
        ),
        284 => (
            ("它提到的服务对象已应要求永久删除", "It refers to a service target that was erased for good"),
            (
                "管理员会把它一并删除;要留下的内容请不提此人另写一条",
                "The administrator erases it, too; write what must stay in a new record that does not name them",
            ),
        ),
        285 => (
            ("它接着写的内容已永久删除", "What it goes on from was erased for good"),
            ("它不再显示;要留下的内容请另写一条", "It is shown no more; write what must stay in a new record"),
        ),
        _ => UNKNOWN,
    }
}

/// Why no hub took it: 600 and the number of the refusal.
const fn refusal_words(code: u16) -> (Words, Words) {
    match code {
        601 => (
            ("管理端缺前面的批次,那一批本机也没有了", "The hub lacks what came before, and it is gone here"),
            SENT_AGAIN,
        ),
        602 => (("管理端还不认识这台设备", "The hub does not know the device yet"), SENT_AGAIN),
        603 => (("管理端还没收到删除的依据", "The hub lacks the proof of an erasure"), SENT_AGAIN),
        604 => (("管理端空间不足", "The hub has no room"), SENT_AGAIN),
        729 => (("签名不对,管理端不收这条改动", "The signature is wrong and the hub does not take it"), BACK_AS_DRAFT),
        730 => (
            ("内容校验不对,管理端不收这条改动", "The contents do not verify and the hub does not take it"),
            BACK_AS_DRAFT,
        ),
        731 => (
            ("超过大小限制,管理端不收这条改动", "It is over a limit and the hub does not take it"),
            (
                "已从记录里撤回,内容退回草稿;请改短后重新提交,仍不行请把代码告诉管理员",
                "It is out of the record and its values are back as a draft; shorten it and hand it in again, or tell the administrator the code",
            ),
        ),
        _ => (("管理端不收这条改动", "The hub does not take the change"), BACK_AS_DRAFT),
    }
}

/// Explains why a hub did not take a pack.
#[must_use]
pub fn explain_refusal(code: RefusalCode) -> Label {
    let words = match code {
        RefusalCode::MissingPrev => {
            ("管理端缺前面的批次,会自动补送", "The hub lacks what came before; it is sent again")
        }
        RefusalCode::UnknownDevice => {
            ("管理端还不认识这台设备,会先补送登记", "The hub does not know the device yet; its enrolment is sent first")
        }
        RefusalCode::UnprovenStub => {
            ("管理端还没收到删除的依据,会再送", "The hub lacks the proof of an erasure; it is sent again")
        }
        RefusalCode::Quota => ("管理端空间不足,请告诉管理员", "The hub has no room; tell the administrator"),
        RefusalCode::BadSignature => (
            "签名不对,管理端不收;内容还在本机,请告诉管理员",
            "The signature is wrong and the hub will not take it; it is kept here, tell the administrator",
        ),
        RefusalCode::BadBody => (
            "内容校验不对,管理端不收;内容还在本机,请告诉管理员",
            "The contents do not verify and the hub will not take it; it is kept here, tell the administrator",
        ),
        RefusalCode::OverLimit => (
            "超过大小限制,管理端不收;内容还在本机,请告诉管理员",
            "It is over a limit and the hub will not take it; it is kept here, tell the administrator",
        ),
    };
    label(words)
}

/// Why a hub did not take a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCode {
    /// What came before is not there; temporary.
    MissingPrev,
    /// The device is not known yet; temporary.
    UnknownDevice,
    /// An erasure is not proven yet; temporary.
    UnprovenStub,
    /// No room; temporary.
    Quota,
    /// The signature is wrong; for good.
    BadSignature,
    /// The contents do not verify; for good.
    BadBody,
    /// Over a limit; for good.
    OverLimit,
}

impl RefusalCode {
    /// Whether sending the same again can never help. It is kept on this device all the same.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        match self {
            Self::MissingPrev | Self::UnknownDevice | Self::UnprovenStub | Self::Quota => false,
            Self::BadSignature | Self::BadBody | Self::OverLimit => true,
        }
    }
}

impl From<RefuseCode> for RefusalCode {
    fn from(code: RefuseCode) -> Self {
        match code {
            RefuseCode::MissingPrev => Self::MissingPrev,
            RefuseCode::UnknownDevice => Self::UnknownDevice,
            RefuseCode::UnprovenStub => Self::UnprovenStub,
            RefuseCode::Quota => Self::Quota,
            RefuseCode::BadSignature => Self::BadSignature,
            RefuseCode::BadBody => Self::BadBody,
            RefuseCode::OverLimit => Self::OverLimit,
        }
    }
}

/// Why trying again does not help until someone does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HaltReason {
    /// The hub does not know this device.
    NotEnrolled,
    /// The device was revoked. What it wrote was taken, as far as it arrived.
    Revoked,
    /// The device's id is claimed by two keys.
    DeviceRefused,
    /// Hub and device do not understand one another.
    PeerIncompatible,
    /// One of the two broke a rule of the protocol.
    PeerMisbehaved,
    /// Whoever answers at the address is not a hub of this organisation.
    WrongOrganisation,
    /// The store of this device takes no more.
    StoreFailed,
}

impl HaltReason {
    /// What happened and what to do.
    #[must_use]
    pub fn message(self) -> Label {
        let words = match self {
            Self::NotEnrolled => (
                "管理端不认识这台设备:请找管理员核对,必要时重新登记。本机内容都在",
                "the hub does not know this device: ask the administrator, and enrol again if needed; everything here is kept",
            ),
            Self::Revoked => (
                "这台设备已被停用:不再接收数据。要继续使用,请找管理员重新登记",
                "this device was revoked and receives nothing any more: ask the administrator to enrol it again",
            ),
            Self::DeviceRefused => (
                "两台设备用了同一个编号:请找管理员重新登记这台设备",
                "two devices claim one id: ask the administrator to enrol this device again",
            ),
            Self::PeerIncompatible => (
                "应用版本和管理端对不上:请升级应用,或请管理员升级管理端",
                "app and hub do not understand one another: update the app, or have the hub updated",
            ),
            Self::PeerMisbehaved => (
                "通信出错,已停止自动同步:请升级应用后再试,仍不行请告诉管理员",
                "the conversation with the hub broke a rule: update the app and try again, or tell the administrator",
            ),
            Self::WrongOrganisation => (
                "这个地址上的不是本单位的管理端:请检查网络(是否要先登录上网),或核对地址",
                "whoever answers at the address is not your organisation's hub: check the network (a login page?) or the address",
            ),
            Self::StoreFailed => (
                "本机存储出错,不能再写入:请检查存储空间,然后重新打开应用",
                "the store of this device takes no more: check the free space, then open the app again",
            ),
        };
        label(words)
    }
}

/// What to tell a person while the hub cannot be reached and tries go on.
pub(crate) fn unreachable() -> Label {
    label((
        "暂时连不上管理端,会自动再试;本机内容都在",
        "the hub cannot be reached now and is tried again; everything here is kept",
    ))
}

/// What to tell a person whom the hub has sent away for a while.
pub(crate) fn come_later() -> Label {
    label((
        "管理端现在不收(正忙、正在停机或空间不足),会自动再试;本机内容都在,一直这样请告诉管理员",
        "the hub takes nothing now (it is busy, stopping, or has no room) and is tried again; everything here is kept; if it stays so, tell the administrator",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where codes are given: the sources themselves, so that a new one cannot be forgotten here.
    const MATCHES: [&str; 2] =
        [include_str!("../../protocol/src/gate/failure.rs"), include_str!("../../protocol/src/control/carrier.rs")];
    const CONSTANTS: [&str; 4] = [
        include_str!("../../protocol/replica/src/replica/judge.rs"),
        include_str!("../../protocol/replica/src/replica/status.rs"),
        include_str!("../../server/src/hub/publish.rs"),
        include_str!("../../server/src/hub/erase.rs"),
    ];

    /// The numbers after `=>` in a match that gives codes.
    fn matched(source: &str) -> impl Iterator<Item = u16> {
        source.lines().filter_map(|line| line.split_once("=> ")?.1.strip_suffix(',')?.parse().ok())
    }

    /// The numbers of constants that are called `CODE_…`.
    fn named(source: &str) -> impl Iterator<Item = u16> {
        let constants = source.lines().filter_map(|line| line.split_once("const CODE_")?.1.split_once(": u16 = "));
        constants.filter_map(|(_, value)| value.strip_suffix(';')?.parse().ok())
    }

    fn refusals() -> impl Iterator<Item = u16> {
        (0..=u8::MAX).filter(|number| RefuseCode::from_number(*number).is_some()).map(|number| 600 + u16::from(number))
    }

    #[test]
    fn every_code_that_can_reach_a_person_has_words_in_both_languages() {
        let mut codes: Vec<u16> = MATCHES.into_iter().flat_map(matched).collect();
        assert!(codes.len() > 50 && codes.contains(&76) && codes.contains(&264), "{codes:?}");
        codes.extend(CONSTANTS.into_iter().flat_map(named));
        assert!([0, 270, 271, 280, 281, 282, 283, 284, 285].iter().all(|code| codes.contains(code)), "{codes:?}");
        codes.extend(refusals());
        let (unknown, unnamed) = (explain(9_999), explain(799));
        for code in codes {
            let Explanation { what, next, .. } = explain(code);
            assert!(what != unknown.what && what != unnamed.what, "{code} has no words of its own");
            for label in [&what, &next] {
                assert!(!label.en.is_empty() && label.en.is_ascii(), "{code}: {label:?}");
                assert!(!label.zh.is_ascii(), "{code}: {label:?}");
            }
        }
    }
}
