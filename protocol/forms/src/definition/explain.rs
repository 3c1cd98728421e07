//! Faults in the words of whoever writes the form, in both languages: where, what is wrong, and what to do.
//!
//! English says what [`FormFaultKind`] displays; Chinese is said here. Names that stand in a file (keys, types, ids) are left as they stand there.

use crate::{
    constraint::{ExpressionError, ExpressionErrorKind},
    text::Label,
};

use super::{FormFault, FormFaultKind};

impl FormFault {
    /// The place in words: the field, repeat, section, choice or warning.
    #[must_use]
    pub fn place_label(&self) -> Label {
        let parts: Vec<String> = self.place.split(", ").map(place_zh).collect();
        Label::new(parts.join(","), &self.place)
    }
}

fn place_zh(part: &str) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("field", "项目"),
        ("repeat", "重复组"),
        ("section", "分组"),
        ("choice", "选项"),
        ("warning", "提醒"),
        ("change", "改动"),
        ("form", "表单"),
        ("list", "列表"),
        ("overlay", "调整"),
        ("file", "文件"),
    ];
    let (word, rest) = part.split_once(' ').map_or((part, ""), |(word, rest)| (word, rest));
    let word = WORDS.iter().find(|(en, _)| *en == word).map_or(word, |(_, zh)| zh);
    if rest.is_empty() { word.to_owned() } else { format!("{word} {rest}") }
}

impl FormFaultKind {
    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> Label {
        Label::new(self.zh(), self.to_string())
    }

    fn zh(&self) -> String {
        match self {
            Self::Syntax { message } => format!("不是TOML格式:{message}"),
            Self::TooLarge { bytes, max } => format!("文件有{bytes}字节,最多{max}字节"),
            Self::Unreadable { message } => format!("读不了:{message}"),
            Self::NotUtf8 { offset } => format!("从第{offset}个字节起不是UTF-8"),
            Self::NotLocal { name } => format!("`{name}` 没有以 `local_` 开头;其他名称留给随软件发布的表单"),
            Self::NeededField { name } => format!("每条记录都要有 `{name}`,不能隐藏,也不能不填"),
            Self::UnknownForm { name } => format!("没有随软件发布的表单 `{name}`"),
            Self::MissingKey => "缺少这一项".to_owned(),
            Self::UnknownKey => "没有这个键".to_owned(),
            Self::KeyNotForType { field_type } => format!("对 `{field_type}` 类型的项目没有意义"),
            Self::KeyNotForKind { kind } => format!("对 `{kind}` 类的表单没有意义"),
            Self::WrongKind { expected, found } => format!("应为{},现为{}", kind_zh(expected), kind_zh(found)),
            Self::Empty => "是空的".to_owned(),
            Self::MissingLabel { lang } => format!("缺少 `{lang}` 的文字"),
            Self::BadName { name } => format!("`{name}` 不能作名称:以小写字母开头,只用小写字母、数字和 `_`,最多64个"),
            Self::BadId { name } => format!("`{name}` 不能作编号:只用字母、数字和 `-`、`_`、`.`、`:`,最多64个"),
            Self::NameTooLong { name, max } => format!("`{name}`有{}个字符,最多{max}个", name.len()),
            Self::ReservedName { name } => format!("`{name}` 是记录自己用的名称"),
            Self::DuplicateName { name } => format!("`{name}` 用了两次"),
            Self::DuplicateForm { version } => format!("这个表单的第{version}版已经有了"),
            Self::AmbiguousName { name, other } => format!("`{name}` 也是选项 `{other}` 的叫法"),
            Self::UnknownWord { found, expected } => format!("`{found}` 不在可用的词里:{expected}"),
            Self::UnknownList { name } => format!("没有列表 `{name}`"),
            Self::ScaleNotWhole { list, id } => format!("列表 `{list}` 的选项 `{id}` 不是整数"),
            Self::UnknownSection { name } => format!("没有分组 `{name}`"),
            Self::UnknownIndicator { name } => format!("没有指标 `{name}`"),
            Self::UnknownField { name } => format!("没有项目 `{name}`"),
            Self::FieldInRepeat { name, repeat } => format!("`{name}` 在重复组 `{repeat}` 里,在这里没有唯一的答案"),
            Self::UnknownChoice { list, choice } => format!("列表 `{list}` 里没有选项 `{choice}`"),
            Self::ThisNotAllowed => "这里不能用 `.`;只有约束和提醒判断答案本身".to_owned(),
            Self::RelevanceCycle { path } => format!("显示条件互相依赖,成了圈:{}", path.join("、")),
            Self::HiddenRequired => "隐藏的项目不会问,所以不能必填".to_owned(),
            Self::MessageWithoutRule { rule } => format!("有提示语,却没有规则 `{rule}`"),
            Self::Expression(error) => expression_zh(error),
            Self::OutOfRange { found, min, max } => format!("{found} 不在{min}到{max}之间"),
            Self::RangeReversed => "下限大于上限".to_owned(),
            Self::NotDecimal => "不是最多九位小数的数".to_owned(),
            Self::TooMany { found, max } => format!("有{found}个,最多{max}个"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> Label {
        let (zh, en) = self.fix_words();
        Label::new(zh, en)
    }

    fn fix_words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Syntax { .. } => (
                "按所指的行改正;常见的是少了引号、括号或等号",
                "correct the line it names; most often a quote, bracket or equals sign is missing",
            ),
            Self::TooLarge { .. } => ("把表单分成几个文件", "split the form into several files"),
            Self::Unreadable { .. } => ("看路径和权限是否正确", "check the path and who may read it"),
            Self::NotUtf8 { .. } => ("用UTF-8编码另存", "save the file as UTF-8"),
            Self::NotLocal { .. } => ("在名称前加 `local_`", "put `local_` before the name"),
            Self::NeededField { .. } => ("去掉这一处改动", "take this change away"),
            Self::HiddenRequired => {
                ("去掉 hidden,或者同时写 required = false", "take `hidden` away, or set `required = false` with it")
            }
            Self::UnknownForm { .. } => (
                "用 qianmo forms 看有哪些表单;自己的表单直接改它的文件",
                "see `qianmo forms`; a form of your own is changed in its own file",
            ),
            Self::MissingKey | Self::Empty => ("补上", "add it"),
            Self::UnknownKey => ("看是否写错;用不着就删掉", "check its spelling, or take it away"),
            Self::KeyNotForType { .. } | Self::KeyNotForKind { .. } => {
                ("删掉这个键,或改类型", "take the key away, or change the type")
            }
            Self::WrongKind { .. } => ("照所说的样子写", "write it as said"),
            Self::MissingLabel { .. } => ("中文 zh 和英文 en 都要写", "write both `zh` and `en`"),
            Self::BadName { .. } | Self::BadId { .. } | Self::NameTooLong { .. } | Self::ReservedName { .. } => {
                ("换一个名称", "choose another name")
            }
            Self::DuplicateName { .. } => ("其中一个换名称", "rename one of them"),
            Self::DuplicateForm { .. } => {
                ("发布过的表单不能改;改了就把版本号加一", "a published form never changes: raise its version")
            }
            Self::AmbiguousName { .. } => {
                ("从其中一个选项里去掉这个叫法", "take the name away from one of the two choices")
            }
            Self::UnknownWord { .. } => ("从可用的词里选一个", "choose one of the words it names"),
            Self::UnknownList { .. } => (
                "看列表名是否写错,或在 lists 文件夹里加上这个列表",
                "check its spelling, or add the list in the folder `lists`",
            ),
            Self::ScaleNotWhole { .. } => {
                ("整数项目的列表只能用整数作编号", "a list of an integer field has whole numbers for ids")
            }
            Self::UnknownSection { .. } => {
                ("在 sections 里加上,或改成已有的分组", "add it to `sections`, or name one that is there")
            }
            Self::UnknownIndicator { .. } => ("用 indicator 列表里的编号", "use an id of the list `indicator`"),
            Self::UnknownField { .. } => ("看名称是否写错,或加上这个项目", "check its spelling, or add the field"),
            Self::FieldInRepeat { .. } => {
                ("表达式只能读同一行和重复组以外的项目", "an expression reads its own row and what is outside repeats")
            }
            Self::UnknownChoice { .. } => ("用列表里的编号(不是中文名)", "use an id of the list, not a label"),
            Self::ThisNotAllowed => ("改写成 ${项目名称}", "name the field: `${field}`"),
            Self::RelevanceCycle { .. } => ("去掉其中一个显示条件", "take one of the conditions away"),
            Self::MessageWithoutRule { .. } => ("补上规则,或删掉提示语", "add the rule, or take the message away"),
            Self::Expression(_) => (
                "按所指的位置改正;能用的写法见 docs/forms.md",
                "correct it at that byte; docs/forms.md says what may be written",
            ),
            Self::OutOfRange { .. } | Self::RangeReversed => ("改成范围以内的数", "use a number inside the range"),
            Self::NotDecimal => {
                ("写成引号里的十进制数,例如 \"0.5\"", "write a decimal number in quotes, such as \"0.5\"")
            }
            Self::TooMany { .. } => ("减少数量", "use fewer"),
        }
    }
}

/// What may stand in a file, in Chinese.
fn kind_zh(en: &str) -> &str {
    const WORDS: [(&str, &str); 16] = [
        ("a text", "文字"),
        ("true or false", "true或false"),
        ("a whole number", "整数"),
        ("a whole number, or a decimal number in quotes", "整数,或引号里的小数"),
        ("a table { zh, en }", "一对文字 { zh, en }"),
        ("texts in a table { zh, en }", "{ zh, en } 里的文字"),
        ("an array of texts", "一列文字"),
        ("an array of tables", "一列表格"),
        ("a table", "表格"),
        ("string", "文字"),
        ("integer", "整数"),
        ("float", "小数"),
        ("boolean", "真假值"),
        ("datetime", "时间"),
        ("array", "一列值"),
        ("table", "表格"),
    ];
    WORDS.iter().find(|(word, _)| *word == en).map_or(en, |(_, zh)| zh)
}

fn expression_zh(error: &ExpressionError) -> String {
    let what = match &error.kind {
        ExpressionErrorKind::TooLong { bytes, max } => format!("表达式有{bytes}字节,最多{max}字节"),
        ExpressionErrorKind::TooDeep { max } => format!("括号套了超过{max}层"),
        ExpressionErrorKind::UnexpectedEnd => "该有值的地方表达式就结束了".to_owned(),
        ExpressionErrorKind::UnexpectedCharacter(character) => format!("不该有字符 `{character}`"),
        ExpressionErrorKind::Unexpected { found, expected } => format!("不该是 `{found}`,应为 {expected}"),
        ExpressionErrorKind::UnclosedText(quote) => format!("文字没有用 {quote} 结束"),
        ExpressionErrorKind::UnclosedField => "项目名称没有用 `}` 结束".to_owned(),
        ExpressionErrorKind::BadFieldName(name) => format!("`{name}` 不能是项目名称"),
        ExpressionErrorKind::NumberTooLarge => "数太大".to_owned(),
        ExpressionErrorKind::UnknownFunction(name) => format!("没有函数 `{name}`"),
        ExpressionErrorKind::ArgumentCount { function, min, max, found } => {
            format!("`{function}` 要{min}到{max}个参数,现有{found}个")
        }
        ExpressionErrorKind::ChainedComparison => "比较不能连写,用 `and` 连接".to_owned(),
    };
    format!("第{}字节处:{what}", error.offset)
}
