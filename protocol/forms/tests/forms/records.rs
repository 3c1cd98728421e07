//! Records of something done: visit, guidance, demonstration, training, demand, pest report, transfer, outreach.

use crate::harness::Typed;
use crate::rules::Case;

/// Form, the least that may be submitted, and what an empty submission lacks.
pub(crate) const MINIMAL: &[(&str, Typed, &[&str])] = &[
    ("visit", WITH_TARGET, NEEDS_TARGET),
    (
        "guidance",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], ("target_id", "T017"), ("advice", "清园后涂白")],
        &["service_mode", "activity_date", "staff_id", "target_id", "town_code", "content", "advice"],
    ),
    (
        "demo",
        &[
            BASE[0],
            BASE[1],
            BASE[2],
            BASE[3],
            BASE[4],
            ("target_id", "T017"),
            ("technology_id", "蜂授粉"),
            ("area_mu", "12.5亩"),
        ],
        &["service_mode", "activity_date", "staff_id", "target_id", "town_code", "technology_id", "area_mu", "content"],
    ),
    (
        "training",
        &[
            BASE[0],
            BASE[1],
            BASE[2],
            BASE[3],
            BASE[4],
            ("topic", "夏剪"),
            ("training_form", "观摩"),
            ("attendees", "35人次"),
        ],
        &["service_mode", "activity_date", "staff_id", "town_code", "topic", "training_form", "attendees", "content"],
    ),
    (
        "demand",
        &[
            BASE[0],
            BASE[1],
            BASE[2],
            BASE[3],
            BASE[4],
            ("target_id", "T017"),
            ("demand_category", "节水灌溉"),
            ("urgency", "一般"),
            ("demand_state", "已登记"),
        ],
        &[
            "service_mode",
            "activity_date",
            "staff_id",
            "target_id",
            "town_code",
            "demand_category",
            "urgency",
            "content",
            "demand_state",
        ],
    ),
    (
        "pest_report",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], ("pest_id", "梨小"), ("severity", "轻")],
        &["service_mode", "activity_date", "staff_id", "town_code", "pest_id", "content"],
    ),
    (
        "transfer",
        &[
            BASE[0],
            BASE[1],
            BASE[2],
            BASE[3],
            BASE[4],
            ("target_id", "T017"),
            ("technology_id", "防雹网"),
            ("stage", "意向"),
        ],
        &["service_mode", "activity_date", "staff_id", "target_id", "town_code", "technology_id", "stage", "content"],
    ),
    (
        "outreach",
        &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], ("theme", "科普大集")],
        &["service_mode", "activity_date", "staff_id", "town_code", "theme", "content"],
    ),
];

const BASE: [(&str, &str); 5] = [
    ("service_mode", "现场"),
    ("activity_date", "2025-06-18"),
    ("staff_id", "P02"),
    ("town_code", "110117105"),
    ("content", "查看套袋情况,约定一周后复查"),
];

const WITH_TARGET: Typed = &[BASE[0], BASE[1], BASE[2], BASE[3], BASE[4], ("target_id", "T017")];

const NEEDS_TARGET: &[&str] = &["service_mode", "activity_date", "staff_id", "target_id", "town_code", "content"];

/// Constraints of the fields that every record has: with the opening answers, what passes and what does not.
pub(crate) const SHARED_CONSTRAINTS: &[Case] = &[
    Case { path: "activity_date", with: &[], passes: "2025-06-20", fails: "2025-06-21" },
    Case { path: "activity_date", with: &[], passes: "2000-01-01", fails: "1999-12-31" },
    Case { path: "end_time", with: &[("start_time", "06:30")], passes: "06:30", fails: "06:29" },
    Case { path: "reported_on", with: &[], passes: "2025-06-18", fails: "2025-06-17" },
    Case { path: "follow_up_on", with: &[], passes: "2025-06-25", fails: "2025-06-17" },
    Case { path: "town_code", with: &[], passes: "110117105", fails: "11011710" },
    Case { path: "village_code", with: &[], passes: "110117105208", fails: "110117106208" },
];

/// Constraints of single record forms.
pub(crate) const CONSTRAINTS: &[(&str, Case)] = &[
    ("visit", METRIC),
    ("guidance", METRIC),
    ("pest_report", METRIC),
    ("demo", Case { path: "results/r1/measured_on", with: RESULT, passes: "2025-06-20", fails: "2025-06-21" }),
    ("training", Case { path: "female_attendees", with: &[], passes: "35", fails: "36" }),
    ("training", Case { path: "elder_attendees", with: &[], passes: "35", fails: "36" }),
    ("training", Case { path: "satisfaction_count", with: &[("satisfaction", "4")], passes: "35", fails: "36" }),
    ("demand", Case { path: "due_on", with: &[], passes: "2025-06-18", fails: "2025-06-17" }),
    ("demand", Case { path: "landed_on", with: LANDED, passes: "2025-06-20", fails: "2025-06-17" }),
    ("demand", Case { path: "landed_on", with: LANDED, passes: "2025-06-18", fails: "2025-06-21" }),
    ("transfer", Case { path: "agreement_on", with: &[], passes: "2025-06-20", fails: "2025-06-21" }),
    (
        "outreach",
        Case {
            path: "volunteers/r1/volunteer_hours",
            with: &[("volunteers/r1/volunteer_id", "P30")],
            passes: "2.5",
            fails: "2.3",
        },
    ),
];

const METRIC: Case = Case {
    path: "metric_value",
    with: &[("pest_id", "梨小"), ("severity", "轻"), ("metric_id", "虫梢率")],
    passes: "100",
    fails: "100.01",
};
const RESULT: Typed = &[("results/r1/result_metric", "糖度"), ("results/r1/result_value", "13.2")];
const LANDED: Typed = &[("demand_state", "已落地"), ("result_text", "滴灌带已更换")];

/// What is required or asked only sometimes: form, answers over the minimal ones, and what is then lacking.
pub(crate) const SOMETIMES: &[(&str, Typed, &[&str])] = &[
    ("visit", &[("target_id", ""), ("target_name", "样例农户九")], &[]),
    ("visit", &[("town_code", ""), ("village_code", "110117105208")], &[]),
    ("visit", &[("lat", "40.2551")], &["lon"]),
    ("visit", &[("lon", "117.0712")], &["lat"]),
    ("visit", &[("pest_id", "梨小"), ("metric_id", "虫梢率")], &["metric_value"]),
    (
        "visit",
        &[("advice", "打药前看标签"), ("pesticide_advice/r1/pesticide_name", "样例药剂")],
        &["pesticide_advice/r1/pesticide_registration_no"],
    ),
    ("visit", &[("advice", "清园"), ("pesticide_advice/r1/pesticide_name", "样例药剂")], &[]),
    ("demo", &[("technology_id", ""), ("technology_text", "新技术一种")], &[]),
    ("demo", &[("area_mu", ""), ("earlier_demo_id", "0123456789abcdef0123456789abcdef")], &[]),
    ("demo", &[("materials/r1/material_amount", "40")], &["materials/r1/material_name"]),
    ("demo", &[("results/r1/control_value", "11")], &["results/r1/result_metric", "results/r1/result_value"]),
    ("demand", &[("demand_state", "服务中")], &[]),
    ("demand", &[("demand_state", "已落地")], &["result_text", "landed_on"]),
    ("demand", &[("demand_state", "已办结")], &["result_text", "landed_on"]),
    ("demand", &[("demand_state", "暂无法解决")], &["result_text"]),
    ("pest_report", &[("pest_id", ""), ("severity", "")], &["pest_id"]),
    ("pest_report", &[("severity", "")], &["severity"]),
    ("pest_report", &[("pest_id", ""), ("severity", ""), ("is_normal", "是")], &[]),
    ("pest_report", &[("pest_id", ""), ("pest_text", "不认识的虫")], &[]),
    ("transfer", &[("stage", "签约")], &["agreement_on"]),
    ("transfer", &[("stage", "终止")], &["result_text"]),
    ("outreach", &[("volunteers/r1/volunteer_name", "样例志愿者"), ("volunteers/r1/volunteer_hours", "0.5")], &[]),
    ("outreach", &[("volunteers/r1/volunteer_hours", "0.5")], &["volunteers/r1/volunteer_id"]),
    ("outreach", &[("volunteers/r1/volunteer_id", "P30")], &["volunteers/r1/volunteer_hours"]),
];

/// Warnings: form, field, the answers that bring it, and those that do not.
pub(crate) const WARNINGS: &[(&str, &str, Typed, Typed)] = &[
    ("visit", "solved", &[("solved", "已解决")], &[("solved", "已解决"), ("advice", "清园")]),
    ("guidance", "solved", &[("solved", "已解决"), ("advice", "")], &[("solved", "已解决")]),
    ("pest_report", "pest_id", &[("pest_id", "橘小实蝇")], &[]),
    ("pest_report", "pest_id", &[("pest_id", "草地贪夜蛾")], &[]),
    (
        "visit",
        "pesticide_advice/r1/pesticide_registration_no",
        &[SPRAY[0], ("pesticide_advice/r1/pesticide_registration_no", "WX1")],
        &SPRAY,
    ),
    (
        "guidance",
        "pesticide_advice/r1/pesticide_registration_no",
        &[SPRAY[0], ("pesticide_advice/r1/pesticide_registration_no", "WX1")],
        &SPRAY,
    ),
    ("visit", "pesticide_advice/r1/harvest_expected_on", &HARVEST_SOON, &HARVEST_LATE),
    ("guidance", "pesticide_advice/r1/harvest_expected_on", &HARVEST_SOON, &HARVEST_LATE),
];

/// Warnings of the fields that every record has, wherever it has them.
pub(crate) const SHARED_WARNINGS: &[(&str, Typed, Typed)] = &[
    ("activity_date", &[("activity_date", "2025-05-20")], &[("activity_date", "2025-05-21")]),
    ("lat", &[("lat", "85"), ("lon", "40.2")], &[("lat", "40.2"), ("lon", "85")]),
    ("crop_id", &[], &[("crop_id", "大桃")]),
    ("content", &[("content", "看了看")], &[]),
    ("advice", &[("advice", "打药前看标签")], &[("advice", "清园")]),
];

const SPRAY: [(&str, &str); 2] =
    [("advice", "打药前看标签"), ("pesticide_advice/r1/pesticide_registration_no", "PD20250001")];
const HARVEST_SOON: [(&str, &str); 4] = [
    SPRAY[0],
    SPRAY[1],
    ("pesticide_advice/r1/label_interval_days", "14"),
    ("pesticide_advice/r1/harvest_expected_on", "2025-07-01"),
];
const HARVEST_LATE: [(&str, &str); 4] =
    [SPRAY[0], SPRAY[1], HARVEST_SOON[2], ("pesticide_advice/r1/harvest_expected_on", "2025-07-02")];
