//! Why a request is not answered as asked, and what to do: in two languages, for people and programs.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::projection::ProjectionError;

/// Why a request is not answered as asked. The guard writes it out, as JSON or as a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The hub is being stopped or has too much to do.
    Unavailable,
    /// No record has this id, or it was erased or is held.
    NoRecord,
    /// Nothing is at this address.
    NoPage,
    /// A parameter is at fault.
    Parameter {
        /// How.
        fault: Fault,
        /// Its name.
        name: String,
    },
    /// The record counts, and this version cannot read it.
    Unreadable,
    /// A cursor of an epoch that has ended.
    CursorGone,
    /// The name in `Host` is not one of this hub's.
    WrongHost,
    /// The address is longer than any of ours.
    AddressTooLong,
    /// Something else than reading.
    ReadingOnly,
    /// Nobody is signed in, or no more, and a form came.
    SignedOut,
    /// A page for people who are signed in: the browser is sent to sign in, and comes back.
    SignInFirst,
    /// The password is still the administrator's: the browser is sent to change it.
    PasswordFirst,
    /// A form that no page of this session made.
    NotOurForm,
    /// The person may not do this.
    NotAllowed,
    /// What the page showed is not here any more.
    VersionGone,
    /// What was written is longer than can be kept.
    TooLong,
    /// As many filters as may be are kept already.
    TooManyFilters,
    /// A fault of ours.
    Internal,
}

/// What is wrong with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It means nothing here.
    Unknown,
    /// It was given more than once.
    Twice,
    /// Its value cannot be.
    Value,
}

/// What a refusal says in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) next: &'static str,
}

impl Refusal {
    pub(crate) fn parameter(fault: Fault, name: &str) -> Self {
        Self::Parameter { fault, name: name.to_owned() }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRecord | Self::NoPage => StatusCode::NOT_FOUND,
            Self::Unreadable => StatusCode::NOT_IMPLEMENTED,
            Self::Parameter { .. } => StatusCode::BAD_REQUEST,
            Self::CursorGone => StatusCode::GONE,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::AddressTooLong => StatusCode::URI_TOO_LONG,
            Self::ReadingOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::SignInFirst | Self::PasswordFirst => StatusCode::SEE_OTHER,
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::NotOurForm | Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::VersionGone | Self::TooManyFilters => StatusCode::CONFLICT,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The word for programs; it never changes.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::NoRecord => "no_record",
            Self::Unreadable => "unreadable",
            Self::NoPage => "no_page",
            Self::Parameter { fault: Fault::Unknown, .. } => "unknown_parameter",
            Self::Parameter { fault: Fault::Twice, .. } => "twice_given",
            Self::Parameter { fault: Fault::Value, .. } => "wrong_value",
            Self::CursorGone => "cursor_gone",
            Self::WrongHost => "wrong_host",
            Self::AddressTooLong => "address_too_long",
            Self::ReadingOnly => "reading_only",
            Self::SignedOut | Self::SignInFirst => "signed_out",
            Self::PasswordFirst => "password_first",
            Self::NotOurForm => "not_our_form",
            Self::NotAllowed => "not_allowed",
            Self::VersionGone => "version_gone",
            Self::TooLong => "too_long",
            Self::TooManyFilters => "too_many_filters",
            Self::Internal => "internal",
        }
    }

    /// The parameter it is about.
    fn about(&self) -> Option<&str> {
        match self {
            Self::Parameter { name, .. } => Some(name),
            Self::CursorGone => Some("cursor"),
            Self::Unavailable
            | Self::NoRecord
            | Self::Unreadable
            | Self::NoPage
            | Self::WrongHost
            | Self::AddressTooLong
            | Self::ReadingOnly
            | Self::SignedOut
            | Self::SignInFirst
            | Self::PasswordFirst
            | Self::NotOurForm
            | Self::NotAllowed
            | Self::VersionGone
            | Self::TooLong
            | Self::TooManyFilters
            | Self::Internal => None,
        }
    }

    pub(crate) fn zh(&self) -> Said {
        let (what, next) = match self {
            Self::Unavailable => ("服务器正忙或正在停止", "请过一会儿再试。"),
            Self::Unreadable => ("此版本无法显示这条记录", "记录有效，也没有丢失。请升级管理端，升级后自动显示。"),
            Self::NoRecord => ("没有这条记录", "它可能已被删除或被隔离。请回到列表重新查找。"),
            Self::NoPage => ("没有这个页面", "请检查地址，或回到列表。"),
            Self::Parameter { fault, name } => return zh_parameter(*fault, name),
            Self::CursorGone => ("这个续读位置属于服务器恢复之前", "请不带 cursor 从头读起。"),
            Self::WrongHost => {
                ("服务器不认识这个主机名", "请用 localhost 或 127.0.0.1 打开，或由管理员配置的代理访问。")
            }
            Self::AddressTooLong => ("地址太长", "请去掉多余的筛选条件。"),
            Self::ReadingOnly => ("这里只能读取", "请用 GET 请求。"),
            Self::SignedOut => ("登录已过期", "请重新登录，再做一次；刚才的操作没有生效。"),
            Self::SignInFirst => ("请先登录", "登录后会回到这一页。"),
            Self::PasswordFirst => ("请先修改密码", "请先把管理员给的密码改成自己的，再做一次；刚才的操作没有生效。"),
            Self::NotOurForm => ("这个操作不是从本站页面发出的", "没有生效。请回到页面刷新后重试。"),
            Self::NotAllowed => ("没有权限做这个操作", "没有生效。需要的话，请管理员授予相应的角色。"),
            Self::VersionGone => ("页面上的内容已不在这里", "记录可能已被删除或被隔离，操作没有生效。请刷新后再看。"),
            Self::TooLong => ("写得太长了", "没有保存。请缩短后再提交。"),
            Self::TooManyFilters => ("保存的筛选太多了", "最多保存 20 个。请先删除不用的，再保存。"),
            Self::Internal => ("服务器没能读出记录", "记录本身没有丢失。请告诉管理员查看日志。"),
        };
        Said { what: what.to_owned(), next }
    }

    pub(crate) fn en(&self) -> Said {
        let (what, next) = match self {
            Self::Unavailable => ("The hub is busy or being stopped", "Please try again in a moment."),
            Self::Unreadable => (
                "This version cannot show the record",
                "It counts, and nothing is lost. Please update the hub; it shows by itself then.",
            ),
            Self::NoRecord => {
                ("There is no such record", "It may have been erased or be held. Please look in the list.")
            }
            Self::NoPage => ("There is no such page", "Please check the address, or go back to the list."),
            Self::Parameter { fault, name } => return en_parameter(*fault, name),
            Self::CursorGone => {
                ("The cursor is from before this hub was restored", "Please begin again without a cursor.")
            }
            Self::WrongHost => (
                "This hub does not answer to that name",
                "Please open it as localhost or 127.0.0.1, or through the proxy the administrator set up.",
            ),
            Self::AddressTooLong => ("The address is too long", "Please leave out some filters."),
            Self::ReadingOnly => ("Only reading is possible here", "Please use GET."),
            Self::SignedOut => ("You are signed out", "Please sign in and do it again; nothing was done."),
            Self::SignInFirst => ("Please sign in first", "You will come back to this page."),
            Self::PasswordFirst => (
                "Please change your password first",
                "It is still the administrator’s. Then do it again; nothing was done.",
            ),
            Self::NotOurForm => {
                ("This did not come from a page of this hub", "Nothing was done. Please reload the page and try again.")
            }
            Self::NotAllowed => {
                ("You may not do this", "Nothing was done. If you need to, ask the administrator for the role.")
            }
            Self::VersionGone => (
                "What the page showed is not here any more",
                "The record may have been erased or be held; nothing was done. Please reload the page.",
            ),
            Self::TooLong => ("That is too long", "Nothing was saved. Please make it shorter."),
            Self::TooManyFilters => {
                ("Too many filters are kept", "At most 20 are kept. Please delete one, then keep this.")
            }
            Self::Internal => (
                "The hub could not read its records",
                "No record is lost. Please tell the administrator to look in the log.",
            ),
        };
        Said { what: what.to_owned(), next }
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Response {
        let (zh, en) = (self.zh(), self.en());
        let body = json!({ "error": {
            "code": self.code(),
            "message_en": format!("{}. {}", en.what, en.next),
            "message_zh": format!("{}。{}", zh.what, zh.next),
            "parameter": self.about(),
        } });
        (self.status(), Json(body)).into_response()
    }
}

fn zh_parameter(fault: Fault, name: &str) -> Said {
    match fault {
        Fault::Unknown => {
            Said { what: format!("没有名为 {name} 的参数"), next: "请检查拼写，或去掉它。" }
        }
        Fault::Twice => Said { what: format!("参数 {name} 出现了不止一次"), next: "请只保留一个。" },
        Fault::Value => Said { what: format!("参数 {name} 的值不对"), next: wrong_value_zh(name) },
    }
}

fn en_parameter(fault: Fault, name: &str) -> Said {
    match fault {
        Fault::Unknown => {
            Said { what: format!("There is no parameter {name}"), next: "Please check its spelling, or leave it out." }
        }
        Fault::Twice => {
            Said { what: format!("The parameter {name} is given more than once"), next: "Please give it once." }
        }
        Fault::Value => {
            Said { what: format!("The value of the parameter {name} is wrong"), next: wrong_value_en(name) }
        }
    }
}

fn wrong_value_zh(name: &str) -> &'static str {
    match name {
        "month" => "月份写成 2025-06 的样子。",
        "state" => "可用 pending、returned、approved、disagreed、unsettled、unsubmitted 或 withdrawn。",
        "conflicts" | "changed" | "flagged" | "late" | "resubmitted" | "unanswered" => "请写 true 或 false。",
        "limit" => "请写 1 到 500 的整数。",
        "cursor" => "请原样使用上一页给出的 cursor。",
        "lang" => "请写 zh 或 en。",
        "query" => "请检查地址里的百分号编码。",
        "text" => "请写 1 到 100 个字，里面要有字或数字。",
        "name" => "名字写 1 到 30 个字，不换行。",
        "kind" | "place" | "field" | "reason" | "record" => "请回到页面，重新打开后再提交。",
        _ => "编号由 1 到 16 个字母、数字、- _ . 组成。",
    }
}

fn wrong_value_en(name: &str) -> &'static str {
    match name {
        "month" => "Please write the month like 2025-06.",
        "state" => "Please use pending, returned, approved, disagreed, unsettled, unsubmitted or withdrawn.",
        "conflicts" | "changed" | "flagged" | "late" | "resubmitted" | "unanswered" => "Please write true or false.",
        "limit" => "Please write a whole number from 1 to 500.",
        "cursor" => "Please use a cursor as the page before gave it.",
        "lang" => "Please write zh or en.",
        "query" => "Please check the percent-encoding of the address.",
        "text" => "Please write 1 to 100 characters with a letter or a digit among them.",
        "name" => "A name has 1 to 30 letters on one line.",
        "kind" | "place" | "field" | "reason" | "record" => "Please open the page again and send it once more.",
        _ => "A code has 1 to 16 letters, digits, - _ or . characters.",
    }
}

impl IntoResponse for Refusal {
    /// Bare: the guard writes it out in the form that suits whoever asked.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ProjectionError> for Refusal {
    fn from(error: ProjectionError) -> Self {
        tracing::error!(error = &error as &dyn core::error::Error, "the read model could not be read");
        Self::Internal
    }
}
