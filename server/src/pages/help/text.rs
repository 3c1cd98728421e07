//! The words of the help page, Chinese and English side by side.

use qianmo_forms::flags::Flag;

use super::{Pair, Part};
use crate::projection::UNREADABLE;

pub(super) const INTRO: Pair = (
    "给协调员的一页纸：每天做什么，看到的字是什么意思，遇到事找谁。",
    "One page for coordinators: what a day is made of, what the words mean, and whom to ask.",
);

pub(super) const DAY: Part = Part {
    id: "day",
    title: ("每天这样做", "A day’s work"),
    lines: &[],
    items: &[
        (
            ("看新的", "Look at what is new"),
            (
                "打开“待审”。等得最久的排在最前，别让人等。有提示、补录、已重新提交的，可以单独挑出来看。",
                "Open the inbox. What has waited longest comes first, so that nobody waits long. Choose what has hints, was written late or was handed in again.",
            ),
        ),
        (
            ("看一条", "Read one"),
            (
                "先看内容和建议，再看提示、冲突和变化过程。谁在什么时候改了什么，都写在下面。",
                "Read the content and the advice, then flags, conflicts and history. Who changed what and when stands below.",
            ),
        ),
        (
            ("通过", "Approve"),
            (
                "内容清楚、可信就通过。通过只对您看到的这一版有效，以后再改会标出“批后改动”。",
                "If it is clear and credible, approve it. That holds for the version you saw; a later edit is marked as changed after approval.",
            ),
        ),
        (
            ("用键盘", "With keys"),
            (
                "在列表和记录页：J 下一条，K 上一条，回车打开；在记录页：A 通过，R 写退回意见（Ctrl+回车发出），U 回列表，/ 到搜索框。",
                "In a list and on a record: J next, K previous, Enter opens. On a record: A approves, R writes a return (Ctrl+Enter sends it), U goes back to the list, / to the search.",
            ),
        ),
        (
            ("一次通过", "Approve together"),
            (
                "没有提示和冲突的，可以在“待审”里一次通过：先看汇总，抽几条打开看，再按按钮。刚被改动的会留下。",
                "What has neither hints nor conflicts can be approved together in the inbox: look over the summary, open a few, then press the button. What was just changed is left.",
            ),
        ),
        (
            ("退回", "Return"),
            (
                "选一个原因，再写一句怎么改，最好指到具体一项。平板下次联系时就能看到。",
                "Choose a reason and write one sentence on what to change, best on the field itself. The tablet shows it after its next contact.",
            ),
        ),
        (
            ("看回复", "Read the replies"),
            (
                "作者回了话、还没人理的，待审页上方有“有回复”。点开，在那一项下面回。",
                "Where an author replied and nobody answered yet, the inbox has “With a reply”. Open it and answer below the field.",
            ),
        ),
        (
            ("保存筛选", "Keep a filter"),
            (
                "常看的站点、表单或关键词，筛选后点“保存这个筛选”，下次一点就到。只有您自己看得到。",
                "For a station, form or word you look at often, filter and press “Keep this filter”; next time it is one touch. Only you see it.",
            ),
        ),
        (
            ("看设备", "Look at the devices"),
            (
                "“设备”里排在最前、标着“失联”的，打个电话问一问。",
                "Under Devices, whatever stands first and is marked as silent deserves a telephone call.",
            ),
        ),
    ],
};

/// What a state of a record means.
pub(super) fn state(word: &str) -> Pair {
    match word {
        "pending" => ("已提交，等协调员看。", "Handed in; waits for a coordinator."),
        "returned" => (
            "请作者修改。改好再提交，会回到“待审”，并标出改了什么。",
            "Its author is asked to change it. Handed in again it is to be reviewed, and shows what changed.",
        ),
        "approved" => (
            "协调员认可了这一版，计入正式数字。",
            "A coordinator accepted this version; it counts in official figures.",
        ),
        "disagreed" => (
            "两位协调员互不知情，作了不同的决定。两个决定都留着，再由一位看过两边后决定。",
            "Two coordinators decided differently without knowing of each other. Both decisions stay; one of them decides again having seen both.",
        ),
        "unsettled" => (
            "它的一个审核被删除或隔离，所以按待定处理，请重新审核。",
            "One of its reviews was erased or is held, so nothing is taken for granted: please review it again.",
        ),
        "unsubmitted" => ("作者还没有提交。", "Its author has not handed it in yet."),
        "withdrawn" => ("作者自己撤回了，改好后可以再提交。", "Its author took it back, and may hand it in again."),
        UNREADABLE => (
            "这台服务器的程序太旧，看不了这条记录。记录有效，没有丢；请管理员升级。",
            "This hub’s program is too old to show it. It counts and is not lost; ask the administrator to update.",
        ),
        _ => ("以后的版本才有的状态。", "A state of a later version."),
    }
}

/// What a flag means, and what to do about it.
pub(super) const fn flag(flag: Flag) -> Pair {
    match flag {
        Flag::CopiedText => (
            "同一人在三个不同日期用了同一段30字以上的文字。可能是模板，也可能是复制。问清每次实际做了什么，请补写不同之处。",
            "One person used the same text of 30 letters or more on three different dates. It may be a template or a copy: ask what was done each time and to write what differed.",
        ),
        Flag::CrossStation => (
            "记录人不属于这个工作站。跨站帮忙是好事；确认站点没有选错就可以。",
            "The person belongs to another station. Helping out is welcome; just make sure that the station was not chosen by mistake.",
        ),
        Flag::GpsFar => (
            "位置离登记的服务对象超过3公里。可能是地块在别处，或回来后才记录。问清地点，不要求补拍补定位。",
            "The position is over 3 km from the registered target. The plot may lie elsewhere, or it was written down later. Ask where it was; do not ask for a new position or photo.",
        ),
        Flag::LateReport => (
            "活动过了7天以上才填报。没有网络时很常见；看内容是否还写得清楚即可。",
            "Written more than 7 days after. That is common without a network; see only whether it is still clear.",
        ),
        Flag::MissingContent => (
            "走访或指导没有写服务内容。请退回，请作者写一两句看到了什么、说了什么。",
            "A visit or a guidance says nothing of what was done. Return it and ask for a sentence or two on what was seen and said.",
        ),
        Flag::MissingCrop => (
            "没有写是哪种作物。请作者补上；确实不分作物的，写明即可。",
            "It does not say which crop. Ask for it; where none applies, a word on that is enough.",
        ),
        Flag::NoEvidence => (
            "现场服务，没有位置也没有照片。两样都不是必须的；内容具体就够了，拿不准再问服务对象。",
            "On site, with neither position nor photo. Neither is required: a concrete text is enough. If unsure, ask the target.",
        ),
        Flag::OutOfSeason => (
            "这种病虫害在这个月不常见。可能是选错了，也可能是早发，是重要情况。请核实后再通过。",
            "This pest is unusual in this month. It may be the wrong choice, or an early and important outbreak. Check before you approve.",
        ),
        Flag::ShortVisit => (
            "开始和结束相差不到10分钟。可能只是时间填错。内容可信就通过，时间可请作者更正。",
            "Less than 10 minutes between start and end; the times may be wrong. If the content is credible, approve, or ask for the times.",
        ),
        Flag::TimeOverlap => (
            "同一人同一天有两条现场记录时间重叠。多半是时间填错，请作者看看两条。",
            "Two on-site records of one person overlap on a day. Mostly a wrong time: ask them to look at both.",
        ),
    }
}

pub(super) const REST: [Part; 5] = [
    Part {
        id: "conflicts",
        title: ("冲突和批后改动", "Conflicts, and changes after approval"),
        lines: &[],
        items: &[
            (
                ("冲突", "Conflict"),
                (
                    "两个人没有联网时改了同一项。两个值都留着，标出谁写的。核实后选一个保留，另一个仍在变化过程里。",
                    "Two people changed the same field while offline. Both values stay, with who wrote them. Check, keep one; the other remains in the history.",
                ),
            ),
            (
                ("批后改动", "Changed after approval"),
                (
                    "通过之后又有改动。原来的通过仍对当时那一版有效；看看新改了什么，再通过或退回。",
                    "It was changed after it was approved. The approval holds for the version of then; see what is new, then approve or return it.",
                ),
            ),
            (
                ("页面提示记录已变", "The page says that the record moved"),
                (
                    "您看的时候又来了新内容，操作没有生效。页面会标出新的部分，看过再做一次。",
                    "Something new came while you were reading, and nothing was done. The page marks it: look, then do it again.",
                ),
            ),
            (
                ("两个人同时审核", "Two people decide at once"),
                (
                    "别人刚作了不同的决定，您的也会记下，两个都保留，记录变成“意见不一致”。页面会马上告诉您；看过后再决定一次就行。",
                    "If somebody else has just decided otherwise, both decisions are kept and the record is in disagreement. The page tells you at once: look, and decide once more.",
                ),
            ),
            (
                ("有冲突时不能通过", "A conflict comes before the approval"),
                (
                    "先在页面上选定用哪个内容，再通过。作者还没提交的记录，只能留意见。",
                    "Choose on the page which value stands, then approve. A record that its author has not handed in can only be commented on.",
                ),
            ),
        ],
    },
    Part {
        id: "held",
        title: ("被隔离的内容", "What is held"),
        lines: &[(
            "服务器把不合规则或没有权限的改动先放在一边：不丢，也不显示。在“设备”里的“被隔离的内容”可以看到原因。",
            "The hub sets aside changes that break a rule or lack a right: never lost, never shown. The reasons stand under Devices, What is held.",
        )],
        items: &[
            (
                ("没有权限", "Lack of a right"),
                (
                    "多半是人到新的工作站帮忙。请管理员补授权，补好后自动放行记录。",
                    "Mostly somebody helping at a new station. Ask the administrator for the right; records are then released by themselves.",
                ),
            ),
            (
                ("停用之后送到", "Arrived after a revocation"),
                (
                    "先和本人核对是不是他写的，再由全区协调员或管理员放行。",
                    "Ask the person whether they wrote it; then a coordinator of the district or an administrator releases it.",
                ),
            ),
            (
                ("内容不合规则", "The content breaks a rule"),
                (
                    "作者的平板会把内容退回成草稿，请他更新程序后再提交。",
                    "The author’s tablet turns it back into a draft; ask them to update the program and hand it in again.",
                ),
            ),
        ],
    },
    Part {
        id: "tablet",
        title: ("平板上的字", "The words on a tablet"),
        lines: &[],
        items: &[
            (("草稿", "Draft"), ("只在这台平板上，还没有提交。", "On this tablet only, not handed in.")),
            (
                ("待上传", "Waiting"),
                (
                    "已保存在平板上，等网络。不用重写，有网时自动送出。",
                    "Saved on the tablet, waits for a network. Nothing to write again: it is sent by itself.",
                ),
            ),
            (("已送达", "Delivered"), ("服务器已经存好，并给了收据。", "The hub has stored it and signed a receipt.")),
            (
                ("已备份", "Backed up"),
                (
                    "服务器的备份里也有了。到这一步，平板丢了、服务器坏了，记录都在。",
                    "It is in the hub’s backup, too. From here on a lost tablet or a broken hub loses nothing.",
                ),
            ),
            (
                ("被隔离", "Held"),
                (
                    "送到了，但先放在一边。平板会写明原因和怎么办。",
                    "It arrived and is set aside. The tablet says why and what to do.",
                ),
            ),
        ],
    },
    Part {
        id: "fair",
        title: ("不做什么", "What is not done"),
        lines: &[
            (
                "不打卡，不排名，不统计在线时长，不强制拍照，不记录轨迹。考核看工作站的成果，不看个人在不在线。",
                "No check-in, no ranking, no counting of hours online, no forced photos, no tracks. Stations are assessed by results, not people by presence.",
            ),
            (
                "任何时间的走访都算数，早上五点、晚上九点都一样。没有定位不影响提交。",
                "A visit counts at any hour, five in the morning or nine at night. Without a position it can be handed in all the same.",
            ),
        ],
        items: &[],
    },
    Part {
        id: "whom",
        title: ("找谁", "Whom to ask"),
        lines: &[],
        items: &[
            (
                ("忘了密码、要开账号、要授权", "A forgotten password, an account, a right"),
                ("本单位的管理员。", "The administrator of your organisation."),
            ),
            (
                ("平板丢了或被盗", "A tablet is lost or stolen"),
                (
                    "马上告诉全区协调员或管理员，在“设备”里停用。已经送到的不受影响。",
                    "Tell a coordinator of the district or the administrator at once: they revoke it under Devices. What has arrived is safe.",
                ),
            ),
            (
                ("记录里有不该写的个人信息", "A record names something personal that it should not"),
                (
                    "退回，请作者去掉；要彻底删除的，请管理员办理。",
                    "Return it and ask the author to take it out; to erase it for good, ask the administrator.",
                ),
            ),
            (
                ("对这套系统有意见", "You are not content with this system"),
                (
                    "写在“投诉建议”里，不用留姓名，会有人答复。",
                    "Write it under Complaints and suggestions; no name is needed, and it is answered.",
                ),
            ),
        ],
    },
];
