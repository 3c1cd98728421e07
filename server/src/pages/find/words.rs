//! The words of the search page and of timelines, in both languages.

use qianmo_forms::Lang;

use crate::projection::EntryKind;

/// The words of one language.
#[derive(Debug)]
pub(super) struct FindWords {
    lang: Lang,
    pub(super) title: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) find: &'static str,
    pub(super) intro: &'static str,
    pub(super) examples: &'static str,
    pub(super) also: &'static str,
    pub(super) records: &'static str,
    pub(super) targets: &'static str,
    pub(super) people: &'static str,
    pub(super) stations: &'static str,
    pub(super) organisations: &'static str,
    pub(super) all_records: &'static str,
    pub(super) all_entries: &'static str,
    pub(super) all_groups: &'static str,
    pub(super) none: &'static str,
    pub(super) none_next: [&'static str; 3],
    pub(super) too_long: &'static str,
    pub(super) too_long_next: &'static str,
    pub(super) nothing_in_it: &'static str,
    pub(super) nothing_in_it_next: &'static str,
    pub(super) timeline_of_target: &'static str,
    pub(super) timeline_of_person: &'static str,
    pub(super) entry: &'static str,
    pub(super) no_records: &'static str,
    pub(super) no_records_next: &'static str,
}

const ZH: FindWords = FindWords {
    lang: Lang::Zh,
    title: "查找",
    label: "查找记录、服务对象、人员、工作站和组织",
    hint: "如：梨小 大华山、hzz、T012",
    find: "查找",
    intro: "在一个框里查记录、服务对象、人员、工作站和组织。",
    examples: "可以输入汉字、俗名（红蜘蛛）、拼音或首字母（lxsxc）、编号（T012、P03）、地名；几个词之间用空格隔开。",
    also: "同时查找",
    records: "记录",
    targets: "服务对象",
    people: "人员",
    stations: "工作站",
    organisations: "组织",
    all_records: "查看全部记录",
    all_entries: "查看全部",
    all_groups: "返回全部结果",
    none: "没有找到",
    none_next: [
        "减少词数，或换一个说法、俗名、编号。",
        "拼音要连着输入，如 hongzhizhu 或 hzz。",
        "个人信息已隐去：农户姓名和电话查不到，请用对象编号、村名或作物查。",
    ],
    too_long: "输入的内容太长",
    too_long_next: "请缩短到100字、16个词以内，再查一次。",
    nothing_in_it: "输入里没有可以查找的字",
    nothing_in_it_next: "请输入至少一个汉字、字母或数字。",
    timeline_of_target: "这个服务对象的全部记录，新的在前",
    timeline_of_person: "有这个人参与的记录，新的在前",
    entry: "名录里的资料",
    no_records: "还没有记录",
    no_records_next: "平板上传后，有关的记录会显示在这里。",
};

const EN: FindWords = FindWords {
    lang: Lang::En,
    title: "Find",
    label: "Find records, service targets, people, stations and organisations",
    hint: "For example hzz, T012, P03",
    find: "Find",
    intro: "One box for records, service targets, people, stations and organisations.",
    examples: "Chinese words, everyday names of pests and crops, pinyin or its initials (lxsxc), codes (T012, P03) and places; put a space between several.",
    also: "Also looked for",
    records: "Records",
    targets: "Service targets",
    people: "People",
    stations: "Stations",
    organisations: "Organisations",
    all_records: "Show all records",
    all_entries: "Show all",
    all_groups: "Back to all results",
    none: "Nothing found",
    none_next: [
        "Use fewer words, another name for the same thing, or a code.",
        "Type pinyin in one piece, as in hongzhizhu or hzz.",
        "Personal data is hidden: a household cannot be found by name or phone. Use its code, village or crop.",
    ],
    too_long: "What was typed is too long",
    too_long_next: "Shorten it to 100 characters and 16 words, and look again.",
    nothing_in_it: "There is nothing in it to look for",
    nothing_in_it_next: "Type at least one character, letter or digit.",
    timeline_of_target: "All records about this service target, newest first",
    timeline_of_person: "Records this person took part in, newest first",
    entry: "Entry in the directory",
    no_records: "No records yet",
    no_records_next: "Records about it appear here when tablets have sent them.",
};

impl FindWords {
    pub(super) const fn of(lang: Lang) -> &'static Self {
        match lang {
            Lang::Zh => &ZH,
            Lang::En => &EN,
        }
    }

    /// How many there are of something that is not a record.
    pub(super) fn count(&self, number: usize) -> String {
        match self.lang {
            Lang::Zh => format!("{number} 个"),
            Lang::En if number == 1 => "1 result".to_owned(),
            Lang::En => format!("{number} results"),
        }
    }

    pub(super) const fn kind(&self, kind: EntryKind) -> &'static str {
        match kind {
            EntryKind::Person => self.people,
            EntryKind::Organisation => self.organisations,
            EntryKind::Target => self.targets,
            EntryKind::Station => self.stations,
        }
    }
}
