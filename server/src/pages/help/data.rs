//! What the organisation keeps of people, in words: Chinese and English side by side. Only what the program does is said.

use super::{Pair, Part};

pub(super) const INTRO: Pair = (
    "您或您的地块出现在这里的记录中时，有权知道记了什么、谁能看到、怎样更正或删除。可以请工作人员念给您听。",
    "When you or your plot appear in the records here, you may know what is kept, who sees it, and how to have it corrected or erased. You may ask to have this read to you.",
);

pub(super) const PARTS: [Part; 6] = [
    Part {
        id: "what",
        title: ("记了什么", "What is kept"),
        lines: &[],
        items: &[
            (
                ("服务记录", "Records of service"),
                (
                    "哪天、在哪里、为谁、什么作物、看到什么、建议什么；是谁写的、谁改的、谁审核的。",
                    "On which day, where, for whom, on which crop, what was seen and advised; who wrote, changed and reviewed it.",
                ),
            ),
            (
                ("服务对象", "Service targets"),
                (
                    "农户、合作社等的称呼和联系方式，只在为您服务需要时填写。",
                    "What a farmer or cooperative is called and how to reach them, filled in only where the service needs it.",
                ),
            ),
            (
                ("位置", "Position"),
                (
                    "技术员点一下才取一个点，可以不取。没有轨迹。",
                    "One point, only when the technician taps for it, and never required. There are no tracks.",
                ),
            ),
            (
                ("工作人员", "Staff"),
                (
                    "姓名、编号、所属工作站、账号和密码的摘要。密码本身不保存，也不统计谁在线多久。",
                    "Name, code, station, account, and a hash of the password. The password itself is not kept, nor how long anybody is online.",
                ),
            ),
            (
                ("投诉建议", "Complaints and suggestions"),
                (
                    "您写的内容和收到的时间。不记是谁写的，号码自动隐去，也不发到平板上。",
                    "What you wrote and when it came. Not who wrote it; numbers are hidden, and nothing of it goes to tablets.",
                ),
            ),
        ],
    },
    Part {
        id: "who",
        title: ("谁能看到什么", "Who sees what"),
        lines: &[],
        items: &[
            (
                ("打开这些网页的人", "Whoever opens these pages"),
                (
                    "没有登录的只看到工作内容。表单里标为个人信息的姓名、电话等一律隐去，位置只到约一公里。",
                    "Without signing in, the work. Names, telephones and whatever else a form marks as personal are hidden, positions are shown to about a kilometre.",
                ),
            ),
            (
                ("审核本站记录的协调员和管理员", "Coordinators and administrators who review the station"),
                (
                    "登录后看到本站的姓名、位置和金额。电话和证件号中间几位仍然隐去，要看完整的，每次都会记下是谁看的。",
                    "Signed in, they see the station’s names, positions and sums. The middle of telephone and identity numbers stays hidden; whoever has one shown is written down each time.",
                ),
            ),
            (
                ("本站的平板", "The tablets of the station"),
                (
                    "技术员的平板上有本站的完整记录，否则下乡时没法用。平板可以随时停用。",
                    "A technician’s tablet holds its station’s records in full, or it would be of no use in the field. It can be revoked at any time.",
                ),
            ),
            (
                ("管理员", "The administrator"),
                (
                    "保管服务器和备份，能看到全部内容，受本单位的规定约束。",
                    "Keeps the hub and its backups and can see everything, bound by the rules of the organisation.",
                ),
            ),
            (
                ("看板和其他系统", "Dashboards and other systems"),
                ("只得到隐去个人信息的数据。", "Get data without personal information."),
            ),
        ],
    },
    Part {
        id: "how-long",
        title: ("保存多久", "How long it is kept"),
        lines: &[
            (
                "程序不会自己删除记录，因为它们要用于年度考核。具名内容保存多久，由本单位规定，到期由管理员永久删除。",
                "The program deletes no record by itself, for they serve the yearly assessment. How long what names a person is kept is the organisation’s rule; the administrator then erases it for good.",
            ),
            (
                "永久删除会从服务器、所有平板、搜索和以后的备份里去掉内容，只留下一个没有姓名的编号，防止它被送回来。已有的旧备份要由管理员另行删除。",
                "Erasure takes the content out of the hub, every tablet, the search and later backups. Only an identifier without a name stays, so that it cannot come back. Old backups are deleted by the administrator.",
            ),
        ],
        items: &[],
    },
    Part {
        id: "rights",
        title: ("您可以要求", "What you may ask for"),
        lines: &[],
        items: &[
            (
                ("查看和复制", "To see it and have a copy"),
                (
                    "告诉为您服务的技术员或工作站，由管理员导出给您。",
                    "Tell the technician or the station that serves you; the administrator exports it for you.",
                ),
            ),
            (
                ("更正", "To have it corrected"),
                (
                    "请技术员改正，改正立即显示；原来的写法仍留在变化过程里，说明谁改的。",
                    "Ask the technician: the correction is shown at once. What stood there before stays in the history, with who changed it.",
                ),
            ),
            (
                ("删除，或撤回同意", "To have it erased, or to withdraw consent"),
                (
                    "向工作站或管理员提出，不用说明理由，也不影响您继续得到服务。",
                    "Ask the station or the administrator. You need give no reason, and you will be served as before.",
                ),
            ),
            (
                ("投诉", "To complain"),
                (
                    "写在本站的“投诉建议”里，也可以向网信、公安等主管部门反映。",
                    "Under Complaints and suggestions on this site, or to the authorities in charge of personal information.",
                ),
            ),
        ],
    },
    Part {
        id: "law",
        title: ("依据", "The law behind it"),
        lines: &[
            (
                "《个人信息保护法》：只收集必要的（第六条），事先说清楚（第十四、十七条），随时可以撤回同意（第十五条），可以查阅、复制、更正、删除（第四十四至四十七条）。",
                "The Personal Information Protection Law: only what is needed (article 6), told beforehand (14, 17), consent can be withdrawn at any time (15), access, copy, correction and erasure (44 to 47).",
            ),
            (
                "国办函〔2026〕12号：这类程序不得强制打卡、排名、统计时长、上传照片和轨迹，并应当有投诉建议功能。",
                "State Council General Office letter 12 of 2026: such programs may not force check-ins, rankings, counted hours, photos or tracks, and must have a way to complain and suggest.",
            ),
        ],
        items: &[],
    },
    Part {
        id: "cookie",
        title: ("这些网页本身", "These pages themselves"),
        lines: &[(
            "不登录时不存任何东西在您的设备上。登录后只有一个登录凭证，退出即失效。网页不向其他网站发送任何请求。",
            "Without signing in, nothing is stored on your device. With it there is one token, void when you sign out. The pages send no request to any other site.",
        )],
        items: &[],
    },
];
