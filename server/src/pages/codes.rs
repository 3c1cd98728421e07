//! Why something is held, in words for whoever decides on it. The numbers are the protocol's; a person reads the words.

use qianmo_forms::Lang;

use super::say;

/// Why a change is held.
pub(super) const fn why(code: u16, lang: Lang) -> &'static str {
    match code {
        1..=255 => {
            say(lang, "内容不合规则，程序没有收下这条改动", "the content breaks a rule, so the change was not taken")
        }
        256 => say(lang, "服务器还不认识这台设备", "the hub does not know the device yet"),
        257 => say(lang, "有两把密钥用同一个设备编号", "two keys claim the device’s id"),
        258 => say(lang, "判断所需的管理记录还没有到", "decisions needed to judge it have not arrived"),
        259 => say(lang, "设备停用之后才送到的", "it arrived after the device was revoked"),
        260 => say(lang, "署名的人不是这台设备的使用人", "the person who signed does not work on the device"),
        261 => say(lang, "署名的人没有写这类内容的角色", "the person has no role that may write this"),
        262 => say(lang, "署名的人没有这个工作站的权限", "the person has no right for this station"),
        263 => say(lang, "权限收回之后才送到的", "it arrived after the right was withdrawn"),
        264 => say(lang, "作决定时还没有收到授权", "the decision was made before the right was known there"),
        270 => say(lang, "接着别的设备的编号写的", "it goes on with another device’s numbering"),
        271 => say(lang, "放在了别的日志本里", "it was put into another logbook than its record lives in"),
        280 => say(lang, "这台设备不合规则的内容太多", "too much of this device broke a rule"),
        281 => say(lang, "这台设备的数据被复制过多次", "this device’s data was copied again and again"),
        282 => say(lang, "这台设备重开的次数太多", "this device began anew too often"),
        283 => {
            say(lang, "记录的月份太靠后，请先核对时钟", "the record’s month lies too far ahead; check the clocks first")
        }
        284 | 285 => say(lang, "提到的内容已应要求永久删除", "it refers to what was erased for good"),
        _ => say(lang, "没有说明，请升级服务器程序", "no words for it here; update the hub"),
    }
}

/// Why a device was revoked: the numbers that `qianmo-server revoke` gives.
pub(super) const REVOKE_REASONS: [(u16, &str, &str); 6] = [
    (2, "丢失", "lost"),
    (3, "被盗", "stolen"),
    (4, "换了新机", "replaced by another"),
    (5, "人员离开", "its person left"),
    (6, "数据被复制", "its data was copied"),
    (1, "其他", "something else"),
];

pub(super) fn revoke_reason(code: u16, lang: Lang) -> &'static str {
    let known = REVOKE_REASONS.iter().find(|(known, ..)| *known == code);
    known.map_or_else(|| say(lang, "其他", "something else"), |(_, zh, en)| say(lang, zh, en))
}

/// Why something was erased: the numbers that `qianmo-server purge` gives.
pub(super) const fn erase_reason(code: u16, lang: Lang) -> &'static str {
    match code {
        2 => say(lang, "本人要求", "the person asked for it"),
        3 => say(lang, "撤回同意", "the consent was withdrawn"),
        4 => say(lang, "保存期满", "it was kept long enough"),
        5 => say(lang, "不该收集", "it should not have been collected"),
        _ => say(lang, "其他", "something else"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_a_hub_publishes_has_words_of_its_own_in_both_languages() {
        let unknown = why(4_000, Lang::En);
        for code in [1, 20, 72, 256, 257, 258, 259, 260, 261, 262, 263, 264, 270, 271, 280, 281, 282, 283, 284, 285] {
            assert_ne!(why(code, Lang::En), unknown, "{code}");
            assert!(why(code, Lang::En).is_ascii() || why(code, Lang::En).contains('’'), "{code}");
            assert!(!why(code, Lang::Zh).contains(|letter: char| letter.is_ascii_alphabetic()), "{code}");
        }
    }
}
