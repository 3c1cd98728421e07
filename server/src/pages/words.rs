//! Every word of the pages, in both languages. A page in one language has nothing of the other.

use qianmo_forms::Lang;
use qianmo_protocol::record::ConflictKind;
use qianmo_protocol::review::{ReviewKind, Standing};

use crate::password::WeakPassword;
use crate::projection::Mark;

/// The words of one language.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) lang: Lang,
    pub(super) product: &'static str,
    pub(super) other_language: &'static str,
    pub(super) other_tag: &'static str,
    pub(super) skip: &'static str,
    pub(super) places: &'static str,
    pub(super) masked_note: &'static str,
    pub(super) named_note: &'static str,
    pub(super) say_it: &'static str,
    pub(super) say_of: &'static str,
    pub(super) answer_it: &'static str,
    pub(super) with_return: &'static str,
    pub(super) records: &'static str,
    pub(super) all: &'static str,
    pub(super) changed: &'static str,
    pub(super) conflict: &'static str,
    pub(super) station: &'static str,
    pub(super) month: &'static str,
    pub(super) form: &'static str,
    pub(super) apply: &'static str,
    pub(super) search: &'static str,
    pub(super) search_hint: &'static str,
    pub(super) without: &'static str,
    pub(super) date: &'static str,
    pub(super) content: &'static str,
    pub(super) place: &'static str,
    pub(super) author: &'static str,
    pub(super) entered_by: &'static str,
    pub(super) state: &'static str,
    pub(super) no_text: &'static str,
    pub(super) next_page: &'static str,
    pub(super) first_page: &'static str,
    pub(super) none_yet: &'static str,
    pub(super) none_yet_next: &'static str,
    pub(super) none_match: &'static str,
    pub(super) none_match_next: &'static str,
    pub(super) show_all: &'static str,
    pub(super) to_list: &'static str,
    pub(super) created: &'static str,
    pub(super) written: &'static str,
    pub(super) conflicts_title: &'static str,
    pub(super) conflicts_intro: &'static str,
    pub(super) shown_now: &'static str,
    pub(super) empty_value: &'static str,
    pub(super) held_title: &'static str,
    pub(super) held_intro: &'static str,
    pub(super) held_code: &'static str,
    pub(super) unshown_title: &'static str,
    pub(super) unshown_intro: &'static str,
    pub(super) changed_intro: &'static str,
    pub(super) disagreed_title: &'static str,
    pub(super) disagreed_intro: &'static str,
    pub(super) answers_title: &'static str,
    pub(super) no_answers: &'static str,
    pub(super) other_answers: &'static str,
    pub(super) row_removed: &'static str,
    pub(super) reviews_title: &'static str,
    pub(super) no_reviews: &'static str,
    pub(super) reasons: &'static str,
    pub(super) imported: &'static str,
    pub(super) story_title: &'static str,
    pub(super) story_order: &'static str,
    pub(super) show_answers: &'static str,
    pub(super) was: &'static str,
    pub(super) is: &'static str,
    pub(super) unknown_person: &'static str,
    pub(super) on_device: &'static str,
    pub(super) see_conflict: &'static str,
    pub(super) hidden: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) sign_in_intro: &'static str,
    pub(super) login_name: &'static str,
    pub(super) password: &'static str,
    pub(super) forgotten: &'static str,
    pub(super) wrong_password: &'static str,
    pub(super) wrong_present: &'static str,
    pub(super) passwords_differ: &'static str,
    pub(super) password_same: &'static str,
    pub(super) account: &'static str,
    pub(super) change_password: &'static str,
    pub(super) present_password: &'static str,
    pub(super) new_password: &'static str,
    pub(super) new_again: &'static str,
    pub(super) password_rules: &'static str,
    pub(super) password_changed: &'static str,
    pub(super) must_change: &'static str,
    pub(super) everywhere: &'static str,
    pub(super) everywhere_intro: &'static str,
    pub(super) desk_title: &'static str,
    pub(super) desk_intro: &'static str,
    pub(super) note: &'static str,
    pub(super) about_field: &'static str,
    pub(super) field_note: &'static str,
    pub(super) return_reasons: &'static str,
    pub(super) approve: &'static str,
    pub(super) return_it: &'static str,
    pub(super) reopen: &'static str,
    pub(super) comment: &'static str,
    pub(super) keep_this: &'static str,
    pub(super) news: &'static str,
    pub(super) note_missing: &'static str,
    pub(super) field_missing: &'static str,
    pub(super) settle_first: &'static str,
    pub(super) not_handed_in: &'static str,
    pub(super) moved: &'static str,
    pub(super) since_title: &'static str,
    pub(super) since_intro: &'static str,
    pub(super) inbox: &'static str,
    pub(super) beside_title: &'static str,
    pub(super) sweep: &'static str,
    pub(super) sweep_intro: &'static str,
    pub(super) sweep_others: &'static str,
    pub(super) sweep_more: &'static str,
    pub(super) sweep_none: &'static str,
    pub(super) sweep_do: &'static str,
    pub(super) sweep_open: &'static str,
    pub(super) sweep_passed_over: &'static str,
    pub(super) sweep_approved: &'static str,
    pub(super) sweep_moved: &'static str,
    pub(super) sweep_approved_already: &'static str,
    pub(super) sweep_idle: &'static str,
    pub(super) sweep_untick: &'static str,
    pub(super) sweep_gone: &'static str,
    pub(super) sweep_not_allowed: &'static str,
    pub(super) sweep_not_saved: &'static str,
    pub(super) other_record: &'static str,
    pub(super) north: &'static str,
    pub(super) map_key: &'static str,
    pub(super) news_here: &'static str,
    pub(super) record_moved: &'static str,
    pub(super) to_inbox: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) queue: &'static str,
    pub(super) queue_end: &'static str,
    pub(super) all_done: &'static str,
    pub(super) all_done_next: &'static str,
    pub(super) keys: &'static str,
    pub(super) keys_list: &'static str,
    pub(super) keys_record: &'static str,
}

const ZH: Words = Words {
    lang: Lang::Zh,
    product: "阡陌",
    other_language: "English",
    other_tag: "en",
    skip: "跳到内容",
    places: "页面",
    masked_note: "个人信息已隐去：姓名、电话不显示，位置只到约一公里。",
    named_note: "您审核的站点显示姓名和位置，号码中间几位隐去；别的站点个人信息全部隐去。",
    say_it: "批注",
    say_of: "批注",
    answer_it: "回复",
    with_return: "退回时",
    records: "工作日志",
    all: "全部",
    changed: "批后改动",
    conflict: "冲突",
    station: "工作站",
    month: "月份",
    form: "表单",
    apply: "筛选",
    search: "搜索",
    search_hint: "如:梨小 套袋",
    without: "去掉此条件",
    date: "日期",
    content: "内容",
    place: "工作站 · 月份",
    author: "记录人",
    entered_by: "录入",
    state: "状态",
    no_text: "（没有文字内容）",
    next_page: "下一页",
    first_page: "回到第一页",
    none_yet: "还没有记录",
    none_yet_next: "平板联网同步后，记录会出现在这里。还没有登记平板的话，请管理员在服务器上运行 qianmo-server enroll 发放登记票。",
    none_match: "没有符合条件的记录",
    none_match_next: "请去掉一些筛选条件，或查看全部记录。",
    show_all: "查看全部记录",
    to_list: "全部记录",
    created: "创建于",
    written: "填于",
    conflicts_title: "冲突：需要有人决定",
    conflicts_intro: "同一项内容有不同的填法，都保留着。请与填写人核对后选定一个。",
    shown_now: "当前显示",
    empty_value: "（空）",
    held_title: "有改动被隔离",
    held_intro: "下列改动没有通过检查，内容不显示，也没有丢失。作者的平板上会看到原因；可由管理员放行。",
    held_code: "原因代码",
    unshown_title: "此版本无法显示的改动",
    unshown_intro: "这些改动有效，只是这个版本的管理端读不懂，下面的内容不含它们，也没有丢失。请升级管理端，升级后自动显示。",
    changed_intro: "通过之后又有改动，通过的是改动之前的内容。请重新审核。",
    disagreed_title: "意见不一致",
    disagreed_intro: "两个人互不知情时作了不同的决定，见下面的审核记录。在协调员重新决定之前，按待审处理。",
    answers_title: "内容",
    no_answers: "这条记录还没有填写内容。",
    other_answers: "表单里没有的项目",
    row_removed: "已删除",
    reviews_title: "审核与意见",
    no_reviews: "还没有提交，也没有意见。",
    reasons: "理由",
    imported: "导入的状态",
    story_title: "经过",
    story_order: "最近的在前；时间按填写设备的时钟",
    show_answers: "查看填写的内容",
    was: "原来",
    is: "改为",
    unknown_person: "未知人员",
    on_device: "设备",
    see_conflict: "有冲突，见上",
    hidden: "已隐去",
    sign_in: "登录",
    sign_out: "退出",
    sign_in_intro: "协调员登录后可以审核、退回和处理冲突；管理员管理设备、账号和名录。",
    login_name: "账号",
    password: "密码",
    forgotten: "忘了密码？请管理员在服务器上运行 qianmo-server account reset 账号。",
    wrong_password: "账号或密码不对。",
    wrong_present: "现在的密码不对。",
    passwords_differ: "两次输入的新密码不一样。",
    password_same: "新密码和现在的一样，请换一个。",
    account: "我的账号",
    change_password: "修改密码",
    present_password: "现在的密码",
    new_password: "新密码",
    new_again: "再输入一次新密码",
    password_rules: "至少 10 个字符，可以用汉字；不要包含账号，也不要连号或重复。",
    password_changed: "密码已修改，其他地方的登录已全部退出。",
    must_change: "请先把管理员给的密码改成自己的，然后才能审核。",
    everywhere: "在所有设备上退出",
    everywhere_intro: "在别的电脑上忘了退出时使用。",
    desk_title: "审核",
    desk_intro: "通过和退回只对此页显示的版本有效。退回和意见要写明内容。",
    note: "意见",
    about_field: "针对哪一项",
    field_note: "对这一项的意见",
    return_reasons: "退回原因（可多选）",
    approve: "通过",
    return_it: "退回修改",
    reopen: "重新打开",
    comment: "只留意见",
    keep_this: "采用这个",
    news: "新",
    note_missing: "请写明意见，再退回或留言。",
    field_missing: "写了对某一项的意见，还没有选是哪一项。写的内容都在，选好后再提交。",
    settle_first: "这条记录还有冲突。请先在上面选定用哪个内容，再通过；也可以退回。",
    not_handed_in: "作者还没有提交这条记录，不能审核；可以先留意见。",
    moved: "您查看期间这条记录有改动，刚才的决定没有生效。新的改动在“经过”里标了“新”；看过后请再决定一次，写的意见还在。",
    since_title: "上次审核之后的改动",
    since_intro: "与上次审核时的内容对比：",
    inbox: "待审",
    beside_title: "佐证",
    sweep: "一次通过无提示的记录",
    sweep_intro: "下面的记录没有提示，没有冲突，内容完整。请看一遍，抽几条打开看；拿不准的去掉勾选，留着逐条审。",
    sweep_others: "另有待审的记录有提示或冲突，请逐条看：",
    sweep_more: "这一页放不下，通过后接着显示：",
    sweep_none: "没有可以一次通过的记录",
    sweep_do: "通过选中的记录",
    sweep_open: "打开看",
    sweep_passed_over: "这些没有通过",
    sweep_approved: "其余已通过：",
    sweep_moved: "刚才有改动，或已被别人处理，请打开看。",
    sweep_approved_already: "已经是通过，不用再点。",
    sweep_idle: "没有勾选任何记录，什么也没有改变。",
    sweep_untick: "全部不选",
    sweep_gone: "已被删除或隔离。",
    sweep_not_allowed: "您没有这个站的审核权限。",
    sweep_not_saved: "没能保存，请再试一次。",
    other_record: "另一条记录",
    north: "北",
    map_key: "方块是登记的服务对象，圆点是记录时的位置，上方为北。",
    news_here: "有新的记录，点这里显示",
    record_moved: "这条记录刚刚有改动，点这里查看；已写的意见请先复制",
    to_inbox: "待审列表",
    before: "上一条",
    after: "下一条",
    queue: "待审队列",
    queue_end: "这是最后一条",
    all_done: "都处理完了",
    all_done_next: "平板下次同步后，新的记录会出现在这里，等得最久的排在前面。",
    keys: "快捷键",
    keys_list: "J 下一条，K 上一条，回车打开。",
    keys_record: "A 通过，R 退回（先写意见，Ctrl+回车发出），J 下一条，K 上一条，U 回列表。",
};

const EN: Words = Words {
    lang: Lang::En,
    product: "Qianmo",
    other_language: "中文",
    other_tag: "zh-CN",
    skip: "Skip to content",
    places: "Pages",
    masked_note: "Personal data is masked: no names or phones, positions to about a kilometre.",
    named_note: "Of the stations you review you see names and positions, and numbers without their middle; of others, nothing personal.",
    say_it: "Comment",
    say_of: "Comment on",
    answer_it: "Answer",
    with_return: "with the return",
    records: "Field log",
    all: "All",
    changed: "Changed after approval",
    conflict: "Conflicts",
    station: "Station",
    month: "Month",
    form: "Form",
    apply: "Filter",
    search: "Search",
    search_hint: "such as 梨小 套袋",
    without: "remove this filter",
    date: "Date",
    content: "Content",
    place: "Station · month",
    author: "Recorded by",
    entered_by: "entered by",
    state: "State",
    no_text: "(no text)",
    next_page: "Next page",
    first_page: "Back to the first page",
    none_yet: "No records yet",
    none_yet_next: "Records appear here when tablets have synced. If no tablet is enrolled yet, ask the administrator to run qianmo-server enroll on the server.",
    none_match: "No record matches",
    none_match_next: "Remove some filters, or look at all records.",
    show_all: "Show all records",
    to_list: "All records",
    created: "Created",
    written: "written",
    conflicts_title: "Conflicts: somebody has to decide",
    conflicts_intro: "The same answer was given in different ways; all of them are kept. Check with those who wrote them, then choose one.",
    shown_now: "shown now",
    empty_value: "(empty)",
    held_title: "Changes are held",
    held_intro: "These changes did not pass the gate: they are not shown, and not lost. Their author's tablet says why; the administrator can release them.",
    held_code: "reason code",
    unshown_title: "Changes this version cannot show",
    unshown_intro: "These changes count, but this version of the hub cannot read them: what stands below lacks them, and nothing is lost. Update the hub; they show by themselves then.",
    changed_intro: "It was changed after its approval, which covers what was there before. Please review it again.",
    disagreed_title: "Disagreed",
    disagreed_intro: "Two people decided differently without knowing of each other; see the reviews below. Until a coordinator decides again, it counts as still to review.",
    answers_title: "Content",
    no_answers: "Nothing is filled in yet.",
    other_answers: "Not in the form",
    row_removed: "removed",
    reviews_title: "Reviews and comments",
    no_reviews: "Not submitted yet, and no comments.",
    reasons: "Reasons",
    imported: "imported state",
    story_title: "Story",
    story_order: "newest first; times are by the writing device's clock",
    show_answers: "Show what was filled in",
    was: "was",
    is: "became",
    unknown_person: "unknown person",
    on_device: "device",
    see_conflict: "in conflict, see above",
    hidden: "masked",
    sign_in: "Sign in",
    sign_out: "Sign out",
    sign_in_intro: "Coordinators sign in to approve, return and settle conflicts; administrators look after devices, accounts and directories.",
    login_name: "Account",
    password: "Password",
    forgotten: "Forgotten it? Ask the administrator to run qianmo-server account reset ACCOUNT on the server.",
    wrong_password: "The account or the password is wrong.",
    wrong_present: "The present password is wrong.",
    passwords_differ: "The two new passwords differ.",
    password_same: "The new password is the present one. Choose another.",
    account: "My account",
    change_password: "Change password",
    present_password: "Present password",
    new_password: "New password",
    new_again: "New password again",
    password_rules: "At least 10 characters of any script; without the account's name, and not one row of keys.",
    password_changed: "The password is changed, and every other session has ended.",
    must_change: "Please change the password the administrator gave you first; then you can review.",
    everywhere: "Sign out everywhere",
    everywhere_intro: "For when you forgot to sign out elsewhere.",
    desk_title: "Review",
    desk_intro: "A decision covers the version this page shows. A return and a comment need a note.",
    note: "Note",
    about_field: "About a field",
    field_note: "Note on it",
    return_reasons: "Reasons for sending back",
    approve: "Approve",
    return_it: "Send back",
    reopen: "Reopen",
    comment: "Comment only",
    keep_this: "Keep this one",
    news: "new",
    note_missing: "Please write a note before you send back or comment.",
    field_missing: "There is a note on an answer, but not on which one. What you wrote is here: choose the answer and send it again.",
    settle_first: "There is a conflict. Choose above which value stands before you approve; or send the record back.",
    not_handed_in: "The author has not handed this record in, so it cannot be decided on. You may comment.",
    moved: "The record was changed while you looked at it, and the decision was not done. What is new is marked in the story; look at it and decide again. What you wrote is still here.",
    since_title: "Changed since the last review",
    since_intro: "Compared with what was there at the last review:",
    inbox: "Inbox",
    beside_title: "What to see beside it",
    sweep: "Approve those without hints",
    sweep_intro: "These have no hints and no conflicts, and are whole. Look them over and open a few; untick what you want to review by itself.",
    sweep_others: "Others wait that have hints or conflicts; please open each of them:",
    sweep_more: "More than fit on this page, shown after these:",
    sweep_none: "Nothing to approve together",
    sweep_do: "Approve what is ticked",
    sweep_open: "Open it",
    sweep_passed_over: "These were not approved",
    sweep_approved: "The others are approved:",
    sweep_moved: "It was changed meanwhile, or somebody else decided: please open it.",
    sweep_approved_already: "It is approved already: nothing to do.",
    sweep_idle: "Nothing was ticked, and nothing was changed.",
    sweep_untick: "Untick all",
    sweep_gone: "It was erased or is held.",
    sweep_not_allowed: "You may not decide for its station.",
    sweep_not_saved: "It could not be saved; please try again.",
    other_record: "The other record",
    north: "N",
    map_key: "Square: the registered target. Dot: where the record was made. North is above.",
    news_here: "There are new records: show them",
    record_moved: "This record was just changed: look at it, after copying the note you are writing",
    to_inbox: "Inbox",
    before: "Previous",
    after: "Next",
    queue: "Inbox queue",
    queue_end: "This is the last one",
    all_done: "All done",
    all_done_next: "New records appear here when tablets have synced; what has waited longest comes first.",
    keys: "Keys",
    keys_list: "J next, K previous, Enter opens.",
    keys_record: "A approves, R returns (write the note, then Ctrl+Enter), J next, K previous, U back to the list.",
};

impl Words {
    pub(super) const fn of(lang: Lang) -> &'static Self {
        match lang {
            Lang::Zh => &ZH,
            Lang::En => &EN,
        }
    }

    const fn choose(&self, zh: &'static str, en: &'static str) -> &'static str {
        match self.lang {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    /// What a mark is called.
    pub(super) const fn mark(&self, mark: Mark) -> &'static str {
        match mark {
            Mark::Changed => self.changed,
            Mark::Conflict => self.choose("有冲突", "With conflicts"),
            Mark::Flagged => self.choose("有提示", "With hints"),
            Mark::Late => self.choose("补录", "Written late"),
            Mark::Resubmitted => self.choose("已重新提交", "Handed in again"),
            Mark::Unanswered => self.choose("有回复", "With a reply"),
        }
    }

    /// How long to wait after too many wrong passwords.
    pub(super) fn wait(&self, seconds: i64) -> String {
        match self.lang {
            Lang::Zh => format!("密码错误次数太多，请 {seconds} 秒后再试。"),
            Lang::En => format!("Too many wrong passwords. Please try again in {seconds} seconds."),
        }
    }

    /// Why a new password is not taken.
    pub(super) fn weak(&self, weak: WeakPassword) -> String {
        match weak {
            WeakPassword::Short => self.choose("新密码至少要 10 个字符。", "The new password needs 10 characters."),
            WeakPassword::Long => self.choose("新密码太长了。", "The new password is too long."),
            WeakPassword::Name => {
                self.choose("新密码不要包含账号。", "The new password must not contain the account's name.")
            }
            WeakPassword::Simple => {
                self.choose("新密码太简单，不要连号或重复。", "The new password is one row of keys or one character.")
            }
        }
        .to_owned()
    }

    /// What was just done.
    pub(super) fn done(&self, what: &str) -> Option<String> {
        if let Some(count) = what.strip_prefix("approved_").and_then(|count| count.parse::<u64>().ok()) {
            return Some(match self.lang {
                Lang::Zh => format!("勾选的 {count} 条已通过，在“通过”里可以看到。"),
                Lang::En => format!("Approved: {count}. They are under “Approved” now."),
            });
        }
        let said = match what.as_bytes() {
            b"approve" => Some(self.choose("已通过。", "Approved.")),
            b"return" => Some(
                self.choose("已退回，平板下次联网时收到。", "Sent back; the tablet hears of it at its next contact."),
            ),
            b"reopen" => Some(self.choose("已重新打开。", "Reopened.")),
            b"comment" => Some(self.choose(
                "意见已保存，平板下次联网时收到。",
                "The comment is saved; the tablet gets it at its next contact.",
            )),
            b"settle" => Some(self.choose("这一处冲突已处理。", "This conflict is settled.")),
            b"settled" => Some(self.choose(
                "这一处冲突刚才已经处理过了，您这次的选择没有生效。现在的内容和处理经过都在下面；要改用另一个内容，请退回作者修改。",
                "This conflict had been settled already, and your choice was not done. What stands now is below, with who settled it; to have another value, send the record back.",
            )),
            b"disagreed" => Some(self.choose(
                "您的决定已记下。但别人刚才作了不同的决定，两个都保留：请看下面的审核经过，再决定一次。",
                "Your decision is kept. Somebody else had just decided otherwise, and both stand: look at the reviews below and decide once more.",
            )),
            _ => None,
        };
        said.map(ToOwned::to_owned)
    }

    /// How many records there are.
    pub(super) fn count(&self, number: u64) -> String {
        match (self.lang, number) {
            (Lang::Zh, _) => format!("{number} 条"),
            (Lang::En, 1) => "1 record".to_owned(),
            (Lang::En, _) => format!("{number} records"),
        }
    }

    pub(super) const fn conflict_kind(&self, kind: ConflictKind) -> &'static str {
        match kind {
            ConflictKind::Concurrent => {
                self.choose("互不知情时填了不同的内容", "written without knowledge of each other")
            }
            ConflictKind::OverwrittenUnseen => self.choose(
                "有人没看到别的填法就改写了；原来的填法也列在这里",
                "somebody wrote over it unseen; the old values are here too",
            ),
            ConflictKind::RemovedRowEdited => {
                self.choose("一人删除了这一行，另一人又填写了它", "one removed the row, another wrote in it")
            }
        }
    }

    /// The candidate that is the removal of a row.
    pub(super) const fn removes_row(&self) -> &'static str {
        self.choose("删除这一行", "remove the row")
    }

    pub(super) const fn review_kind(&self, kind: ReviewKind) -> &'static str {
        match kind {
            ReviewKind::Submit => self.choose("提交", "Submitted"),
            ReviewKind::Approve => self.choose("通过", "Approved"),
            ReviewKind::Return => self.choose("退回", "Returned"),
            ReviewKind::Reopen => self.choose("重新打开", "Reopened"),
            ReviewKind::Withdraw => self.choose("撤回", "Withdrawn"),
            ReviewKind::Comment => self.choose("意见", "Comment"),
        }
    }

    /// Why an event does not count; `None` when it does.
    pub(super) const fn standing(&self, standing: Standing) -> Option<&'static str> {
        match standing {
            Standing::Admitted => None,
            Standing::ErasedOrHeld => Some(self.choose("被隔离，状态待定", "held; the state is unsettled")),
            Standing::HeldForRole => {
                Some(self.choose("没有审核权限，不起作用", "without the right to review, so without effect"))
            }
            Standing::Excluded => {
                Some(self.choose("所在的数据批次已被排除，不起作用", "its pack is excluded, so without effect"))
            }
        }
    }

    pub(super) fn created_with(&self, answers: usize) -> String {
        match self.lang {
            Lang::Zh => format!("新建了这条记录，填写了 {answers} 项"),
            Lang::En => format!("created the record with {answers} answers"),
        }
    }

    pub(super) fn edited(&self, answers: usize) -> String {
        match (self.lang, answers) {
            (Lang::Zh, _) => format!("改动了 {answers} 项"),
            (Lang::En, 1) => "changed 1 answer".to_owned(),
            (Lang::En, _) => format!("changed {answers} answers"),
        }
    }

    pub(super) fn settled(&self, labels: &[String]) -> String {
        match self.lang {
            Lang::Zh => format!("处理了冲突：{}", labels.join("、")),
            Lang::En => format!("settled conflicts: {}", labels.join(", ")),
        }
    }
}
