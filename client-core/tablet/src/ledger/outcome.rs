//! What becomes of a row: skipped, refused for one reason, or accepted with corrections.

use qianmo_forms::Label;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$line:meta])* $variant:ident = $text:literal, $zh:literal, $en:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$line])* #[doc = $en] $variant,)+
        }

        impl $name {
            /// All of them, in the order of their names here.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in reports; never changes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// What a person is told.
            #[must_use]
            pub fn label(self) -> Label {
                match self {
                    $(Self::$variant => Label::new($zh, $en),)+
                }
            }
        }
    };
}

named! {
    /// Why a row is no record.
    SkipReason {
        BlankRow = "blank_row", "空行", "Blank row";
        RepeatedHeader = "repeated_header", "重复的表头", "Header repeated";
        SubtotalRow = "subtotal_row", "合计行", "Subtotal";
    }
}

named! {
    /// Why a row is refused. In the order of the checks; the first that fails is the reason.
    RejectReason {
        ColumnCount = "column_count", "格数与表头不符，请检查逗号和引号", "The number of cells is not that of the header";
        UnknownStation = "unknown_station", "站点不在名录中，请改成名录里的站点编号或名称", "The station is not in the directory";
        UnknownActivityType = "unknown_activity_type", "记录类型无法识别，请从八种类型中选一种", "The type of record is not known";
        MissingDate = "missing_date", "没有日期，请补填", "No date";
        InvalidDate = "invalid_date", "日期无法识别或日历上没有这一天，请写成 2025-06-18 的样子", "Not a date, or no such day";
        DateOutOfRange = "date_out_of_range", "日期不在台账年度内，请核对年份", "The date is not in the year of the ledger";
        UnknownStaff = "unknown_staff", "人员不在名录中，请填人员编号或名录里的姓名", "The person is not in the directory";
        AmbiguousStaff = "ambiguous_staff", "有同名人员，请填人员编号", "Several people have this name; write the number";
        MissingTarget = "missing_target", "没有服务对象，请补填", "No service target";
        UnknownTarget = "unknown_target", "对象编号不在名录中且没有名称，请核对", "The target's number is not in the directory, and there is no name";
        UnknownPlace = "unknown_place", "乡镇和村都无法识别，请按区划名称填写", "Neither town nor village is known";
        MissingArea = "missing_area", "示范推广没有面积，请补填", "A demonstration without area";
        InvalidArea = "invalid_area", "面积不是大于0的数，请改正", "The area is not a number above 0";
        AreaImplausible = "area_implausible", "面积超过5000亩，请核对数字和单位", "An area above 5000 mu; check number and unit";
        MissingAttendees = "missing_attendees", "培训没有人数，请补填", "A training without attendees";
        InvalidAttendees = "invalid_attendees", "人数不是大于0的整数，请改正", "Attendees are not a whole number above 0";
        AttendeesImplausible = "attendees_implausible", "人数超过2000，请核对", "More than 2000 attendees; check";
        DuplicateRecordNo = "duplicate_record_no", "记录编号与前面的记录相同，请核对是否重复", "The record number has been used above";
        DuplicateBusinessKey = "duplicate_business_key", "与前面的记录重复(站点、类型、日期、人员、对象、开始时间都相同)", "The same as a record above: station, type, date, person, target and start";
    }
}

named! {
    /// What was repaired or blanked, without changing an achievement. In the order of their names.
    Correction {
        AreaBlanked = "AREA_BLANKED", "面积不可用，已留空", "Area not usable, left blank";
        AreaText = "AREA_TEXT", "面积按文字换算", "Area read from words";
        AreaUnit = "AREA_UNIT", "面积换算成亩", "Area converted to mu";
        CropAlias = "CROP_ALIAS", "作物用了别名", "Crop by an alias";
        CropFromTarget = "CROP_FROM_TARGET", "作物取自服务对象", "Crop taken from the target";
        CropMulti = "CROP_MULTI", "写了几种作物，取第一种", "Several crops, the first taken";
        CropUnknown = "CROP_UNKNOWN", "作物不在名录，归入其他", "Crop not known, kept as other";
        DateFormat = "DATE_FORMAT", "日期改成标准写法", "Date in another form";
        DemandStateDefaulted = "DEMAND_STATE_DEFAULTED", "需求状态按已登记", "State of demand taken as registered";
        Fullwidth = "FULLWIDTH", "全角字符改成半角", "Full-width characters";
        GpsFormat = "GPS_FORMAT", "坐标改成十进制度", "Position in another form";
        GpsGcj02 = "GPS_GCJ02", "火星坐标已换算", "Position converted from GCJ-02";
        GpsIncomplete = "GPS_INCOMPLETE", "坐标缺一半，已留空", "Half a position, left blank";
        GpsInvalid = "GPS_INVALID", "坐标无法识别，已留空", "Not a position, left blank";
        GpsOutOfArea = "GPS_OUT_OF_AREA", "坐标不在本区，已留空", "Position outside the district, left blank";
        GpsSwapped = "GPS_SWAPPED", "经纬度颠倒，已换回", "Latitude and longitude exchanged";
        IdFormat = "ID_FORMAT", "编号改成标准写法", "Number in another form";
        ModeDefaulted = "MODE_DEFAULTED", "服务方式按现场", "Mode of service taken as on site";
        NumberBlanked = "NUMBER_BLANKED", "数字不可用，已留空", "Number not usable, left blank";
        NumberText = "NUMBER_TEXT", "数字按文字换算", "Number read from words";
        PiiMasked = "PII_MASKED", "证件号或手机号已遮盖", "Personal number masked";
        PlaceConflict = "PLACE_CONFLICT", "村名与村代码不符，按代码", "Village and code differ, the code counts";
        PlaceFromTarget = "PLACE_FROM_TARGET", "地点取自服务对象", "Place taken from the target";
        RecordNoMissing = "RECORD_NO_MISSING", "没有记录编号", "No record number";
        ReportDateInvalid = "REPORT_DATE_INVALID", "填报日期无法识别，已留空", "Not a date of report, left blank";
        ReportDateOrder = "REPORT_DATE_ORDER", "填报早于活动，已留空", "Reported before the activity, left blank";
        SatisfactionBlanked = "SATISFACTION_BLANKED", "满意度无法识别，已留空", "Not a satisfaction, left blank";
        SatisfactionText = "SATISFACTION_TEXT", "满意度按文字换算", "Satisfaction read from words";
        StaffByName = "STAFF_BY_NAME", "人员按姓名找到", "Person found by name";
        StateAlias = "STATE_ALIAS", "审核状态用了别名", "State of review by an alias";
        StateDefaulted = "STATE_DEFAULTED", "审核状态按待审", "State of review taken as pending";
        StationByName = "STATION_BY_NAME", "站点按名称找到", "Station found by name";
        TargetByName = "TARGET_BY_NAME", "服务对象按名称找到", "Target found by name";
        TargetNew = "TARGET_NEW", "服务对象不在名录，暂按名称", "Target not in the directory, kept by name";
        TextTruncated = "TEXT_TRUNCATED", "文字超过5000字，已截断", "Text beyond 5000 characters cut";
        TimeFormat = "TIME_FORMAT", "时间改成标准写法", "Time in another form";
        TimeInvalid = "TIME_INVALID", "时间无法识别，已留空", "Not a time, left blank";
        TimeOrder = "TIME_ORDER", "结束早于开始，结束已留空", "End before start, end left blank";
        TownFixed = "TOWN_FIXED", "乡镇按村改正", "Town corrected by the village";
        TypeAlias = "TYPE_ALIAS", "记录类型用了别名", "Type of record by an alias";
        VillageAlias = "VILLAGE_ALIAS", "村名用了别名", "Village by an alias";
        VillageCodeUnusable = "VILLAGE_CODE_UNUSABLE", "村代码不可用", "Code of the village not usable";
        VillageUnresolved = "VILLAGE_UNRESOLVED", "村无法识别，只记乡镇", "Village not known, only the town is kept";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_stand_in_the_order_of_their_names() {
        assert!(Correction::ALL.windows(2).all(|pair| pair[0].name() < pair[1].name()));
        assert_eq!((Correction::ALL.len(), RejectReason::ALL.len()), (43, 19));
    }
}
