//! The workload of the benchmarks: records like those of the field, made from a seed.
//!
//! 22 fields, about 1,140 bytes of JSON on average, mostly Chinese text; zero to two photo hashes. Text is drawn from
//! phrases with numbers and rare characters between them, so that `zstd -19` over many records gives about 4 to 1, which
//! is near prose. An edit appends a sentence to `advice` and sets `status` and `follow_up_on`.

use std::collections::BTreeMap;

use qianmo_protocol::change::Scalar;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha20Rng;

const CROPS: [&str; 6] = ["peach", "cherry", "chestnut", "walnut", "pear", "apple"];
const STAGES: [&str; 6] = ["dormancy", "budbreak", "bloom", "young_fruit", "stone_hardening", "harvest"];
const PHRASES: [&str; 48] = [
    "查看越冬情况",
    "主干阳面有轻微日灼裂皮",
    "冬剪已完成八成",
    "枝条偏密",
    "树势中庸",
    "土壤墒情偏干",
    "蚜虫零星发生",
    "卷叶率不高",
    "梨小食心虫诱捕器诱蛾量上升",
    "套袋进度过半",
    "果面有轻微药斑",
    "排水沟不畅",
    "行间生草长势良好",
    "农户反映去年坐果少",
    "老树更新困难",
    "滴灌带有堵塞",
    "新栽苗成活率高",
    "桃缩叶病少量",
    "红颈天牛虫孔三处",
    "叶片偏小发黄",
    "建议追施高钾肥",
    "刮除翘皮并集中烧毁",
    "树干涂白补一遍",
    "清理僵果病枝带出园外",
    "疏花疏果留单果",
    "悬挂迷向散发器",
    "雨后及时排涝",
    "晴天上午套袋",
    "摘袋前三天通风",
    "秋施基肥深翻",
    "主干形改造分两年完成",
    "用药按标签执行",
    "采收前停药记录在册",
    "铺反光膜增色",
    "测糖达标后分批采收",
    "合作社统一收购",
    "约定下周复查",
    "现场示范修剪手法",
    "农户当场操作",
    "发放技术资料两份",
    "拍照留存",
    "与村委沟通水源",
    "邻户也来听讲",
    "记录成本账",
    "对比去年同期",
    "天气多云有风",
    "早晚温差大",
    "样例农户家中交谈",
];

/// Words of those phrases: about three records in ten have one of them.
pub const FREQUENT_WORDS: [&str; 16] = [
    "墒情",
    "蚜虫",
    "套袋",
    "药斑",
    "排水沟",
    "滴灌带",
    "成活率",
    "高钾肥",
    "涂白",
    "僵果",
    "迷向",
    "基肥",
    "标签",
    "反光膜",
    "合作社",
    "成本",
];

/// Words that are in none of those phrases.
pub const RARE_WORDS: [&str; 20] = [
    "灰霉病",
    "白粉病",
    "炭疽病",
    "褐腐病",
    "根瘤蚜",
    "介壳虫",
    "金龟子",
    "流胶病",
    "黑星病",
    "腐烂病",
    "轮纹病",
    "潜叶蛾",
    "草履蚧",
    "木虱",
    "叶蝉",
    "瘿螨",
    "桃蛀螟",
    "天幕毛虫",
    "霜冻",
    "冰雹",
];

/// Fields of a record.
pub fn record(rng: &mut ChaCha20Rng) -> BTreeMap<String, Scalar> {
    let mut fields = BTreeMap::new();
    let mut text = |name: &str, value: String| {
        fields.insert(name.to_owned(), Scalar::Text(value));
    };
    let (month, day) = (rng.random_range(1..=12), rng.random_range(1..=28));
    text("record_no", format!("ST01-2025-{:04}", rng.random_range(0..10_000)));
    text("service_mode", "onsite".to_owned());
    text("activity_date", format!("2025-{month:02}-{day:02}"));
    text("start_time", format!("{:02}:{:02}", rng.random_range(6..12), rng.random_range(0..60)));
    text("end_time", format!("{:02}:{:02}", rng.random_range(12..18), rng.random_range(0..60)));
    text("staff_id", format!("P{:02}", rng.random_range(1..30)));
    text("target_id", format!("T{:03}", rng.random_range(1..200)));
    text("target_name", format!("样例农户{:03}", rng.random_range(1..200)));
    text("town_code", format!("110117{:03}", rng.random_range(1..19)));
    text("village_code", format!("110117{:03}{:03}", rng.random_range(1..19), rng.random_range(200..260)));
    text("lat", format!("40.{:06}", rng.random_range(0..400_000)));
    text("lon", format!("117.{:06}", rng.random_range(0..400_000)));
    text("accuracy_m", format!("{}", rng.random_range(3..40)));
    text("crop_id", pick(rng, &CROPS));
    text("phenology_id", pick(rng, &STAGES));
    text("area_seen_mu", format!("{}.{}", rng.random_range(1..60), rng.random_range(0..10)));
    text("content", prose(rng, 8));
    text("advice", prose(rng, 7));
    text("remark", prose(rng, 2));
    text("status", "open".to_owned());
    text("follow_up_on", format!("2025-{month:02}-{:02}", rng.random_range(1..=28)));
    let photos: Vec<String> = (0..rng.random_range(0..=2)).map(|_| photo(rng)).collect();
    text("photos", photos.join(" "));
    fields
}

/// What an edit of a record writes.
pub fn edit(rng: &mut ChaCha20Rng, before: &BTreeMap<String, Scalar>) -> BTreeMap<String, Scalar> {
    let advice = match before.get("advice") {
        Some(Scalar::Text(advice)) => advice.as_str(),
        _ => "",
    };
    BTreeMap::from([
        ("advice".to_owned(), Scalar::Text(format!("{advice}{}", prose(rng, 3)))),
        ("status".to_owned(), Scalar::Text("followed".to_owned())),
        ("follow_up_on".to_owned(), Scalar::Text(format!("2025-07-{:02}", rng.random_range(1..=28)))),
    ])
}

/// The fields as one JSON object: what a plain REST client would send.
#[must_use]
pub fn json(fields: &BTreeMap<String, Scalar>) -> String {
    let object: serde_json::Map<String, serde_json::Value> = fields
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Scalar::Text(text) => serde_json::Value::from(text.as_str()),
                Scalar::Int(number) => serde_json::Value::from(*number),
                Scalar::Bool(flag) => serde_json::Value::from(*flag),
                Scalar::Null | Scalar::Bytes(_) => serde_json::Value::Null,
            };
            (name.clone(), value)
        })
        .collect();
    serde_json::Value::Object(object).to_string()
}

fn pick(rng: &mut ChaCha20Rng, from: &[&str]) -> String {
    (*from.choose(rng).unwrap()).to_owned()
}

/// Phrases with numbers, and now and then a character from the whole common range.
pub(crate) fn prose(rng: &mut ChaCha20Rng, phrases: usize) -> String {
    let mut out = String::new();
    for _ in 0..phrases {
        out.push_str(PHRASES.choose(rng).unwrap());
        match rng.random_range(0..5) {
            0 => out.push_str(&format!("{}株", rng.random_range(2..400))),
            1 | 2 => {
                for _ in 0..rng.random_range(3..8) {
                    out.push(char::from_u32(rng.random_range(0x4e00..0x9fa5)).unwrap());
                }
            }
            _ => {}
        }
        out.push(if rng.random_bool(0.3) { '。' } else { ',' });
    }
    out
}

fn photo(rng: &mut ChaCha20Rng) -> String {
    (0..64).map(|_| char::from_digit(rng.random_range(0..16), 16).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_are_in_the_phrases_and_rare_ones_are_not() {
        let is_there = |word: &str| PHRASES.iter().any(|phrase| phrase.contains(word));
        assert!(FREQUENT_WORDS.iter().all(|word| is_there(word)));
        assert!(!RARE_WORDS.iter().any(|word| is_there(word)));
    }
}
