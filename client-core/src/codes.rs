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

const fn words(code: u16) -> (Words, Words) {
    match code {
        0 => (("被暂时隔离,原因还不清楚", "Held, for a reason not known yet"), WAIT),
        1..=12 => (("改动的数据格式不合规则", "The change is not built as records are"), REWRITE),
        20 | 21 => (
            ("这条记录改动次数太多", "The record has been changed too often"),
            ("内容已退回草稿;请新建一条记录写下去", "The values are back as a draft; go on in a new record"),
        ),
        22 => (("改动的嵌套层数太深", "The change is nested too deeply"), REWRITE),
        30..=34 => (("改动的编号或署名不对", "The change is numbered or signed wrongly"), REWRITE),
        40 | 41 => (("改动放错了记录或日志本", "The change came in the wrong record or logbook"), REWRITE),
        42 => (("记录的开头不完整", "The beginning of the record is not complete"), REWRITE),
        43 | 44 => (("审核意见的格式不对", "The review is not built as reviews are"), REWRITE),
        50..=57 => (("改动里有记录不允许的操作", "The change does what no record allows"), REWRITE),
        60..=64 => (("解决冲突的改动不合规则", "The settlement of a conflict breaks a rule"), REWRITE),
        70..=76 => (("管理端读不了这条改动", "The hub cannot read the change"), REWRITE),
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
        284 => (
            ("它提到的服务对象已应要求永久删除", "It refers to a service target that was erased for good"),
            (
                "管理员会把它一并删除;要留下的内容请不提此人另写一条",
                "The administrator erases it, too; write what must stay in a new record that does not name them",
            ),
        ),
        270 => (("这条改动接着别的设备的编号写", "The change goes on with another device's numbering"), ASK_ADMIN),
        600..=855 => (
            ("管理端不收这条改动,已从记录里撤回", "The hub does not take the change; it is out of the record again"),
            (
                "内容已退回草稿;请改短后重新提交,仍不行请把代码告诉管理员",
                "The values are back as a draft; shorten it and hand it in again, or tell the administrator the code",
            ),
        ),
        _ => (("被隔离,本版本不认识这个代码", "Held, with a code this version does not know"), REWRITE),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_gate_and_the_carrier_has_words_of_its_own() {
        let gate = (1..=12).chain(20..=22).chain(30..=34).chain(40..=44).chain(50..=57).chain(60..=64).chain(70..=76);
        let unknown = explain(9_999);
        for code in gate.chain(256..=264).chain([270, 729, 730, 731]) {
            let explanation = explain(code);
            assert_ne!(explanation.what, unknown.what, "{code}");
            assert!(!explanation.next.zh.is_empty() && !explanation.next.en.is_empty(), "{code}");
        }
    }
}
