//! Help for the coordinator's day, and what the organisation keeps of people (关于我的数据). Plain pages without a form.
//!
//! Every sentence stands beside its translation: [`text`] and [`data`] hold pairs, so that none can lack one language.

mod data;
mod text;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;

use qianmo_forms::Lang;
use qianmo_forms::flags::Flag;

use super::{Chrome, rendered, say};
use crate::projection::{STATE_WORDS, state_label};
use crate::web::{Asked, Refusal, WebState};

/// A sentence in Chinese and in English.
type Pair = (&'static str, &'static str);

/// A part of a page.
#[derive(Debug)]
struct Part {
    /// Its anchor.
    id: &'static str,
    title: Pair,
    /// What stands before the list.
    lines: &'static [Pair],
    /// A word, and what it means or what to do.
    items: &'static [(Pair, Pair)],
}

pub(super) fn routes() -> Router<WebState> {
    Router::new().route("/help", get(help_page)).route("/about-my-data", get(data_page))
}

struct Section {
    id: &'static str,
    title: &'static str,
    lines: Vec<&'static str>,
    items: Vec<(String, &'static str)>,
}

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    chrome: Chrome,
    title: &'static str,
    intro: &'static str,
    sections: Vec<Section>,
}

fn section(part: &Part, lang: Lang) -> Section {
    let of = |(zh, en): &Pair| say(lang, zh, en);
    Section {
        id: part.id,
        title: of(&part.title),
        lines: part.lines.iter().map(of).collect(),
        items: part.items.iter().map(|(word, meaning)| (of(word).to_owned(), of(meaning))).collect(),
    }
}

/// What each state of a record means, by the words that the list uses.
fn states(lang: Lang) -> Section {
    let item = |word: &&str| {
        let (zh, en) = state_label(word);
        let (told_zh, told_en) = text::state(word);
        (say(lang, zh, en).to_owned(), say(lang, told_zh, told_en))
    };
    Section {
        id: "states",
        title: say(lang, "记录的状态", "The states of a record"),
        lines: vec![say(
            lang,
            "只有“通过”的记录计入正式数字。退回不删除任何内容，以前写的都看得到。",
            "Only approved records count in official figures. A return deletes nothing; what was written before can still be seen.",
        )],
        items: STATE_WORDS.iter().map(item).collect(),
    }
}

/// What a flag means, and what to do about it, Chinese and English.
pub(super) const fn flag_meaning(flag: Flag) -> (&'static str, &'static str) {
    text::flag(flag)
}

/// What each flag means, by the labels that the forms use.
fn flags(lang: Lang) -> Section {
    let item = |flag: &Flag| {
        let (zh, en) = text::flag(*flag);
        (flag.label().get(lang).to_owned(), say(lang, zh, en))
    };
    Section {
        id: "flags",
        title: say(lang, "提示，以及怎么办", "Flags, and what to do"),
        lines: vec![say(
            lang,
            "提示只是请您多看一眼，不是错误，也不自动扣分。先问一句，再决定。",
            "A flag asks for a second look. It is no mistake and takes nothing away. Ask first, then decide.",
        )],
        items: Flag::ALL.iter().map(item).collect(),
    }
}

async fn help_page(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let mut sections: Vec<Section> = vec![section(&text::DAY, lang), states(lang), flags(lang)];
    sections.extend(text::REST.iter().map(|part| section(part, lang)));
    let (title, intro) = (say(lang, "帮助", "Help"), say(lang, text::INTRO.0, text::INTRO.1));
    page(&state, &headers, lang, "/help", title, intro, sections).await
}

async fn data_page(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let sections = data::PARTS.iter().map(|part| section(part, lang)).collect();
    let (title, intro) = (say(lang, "关于我的数据", "About my data"), say(lang, data::INTRO.0, data::INTRO.1));
    page(&state, &headers, lang, "/about-my-data", title, intro, sections).await
}

async fn page(
    state: &WebState,
    headers: &HeaderMap,
    lang: Lang,
    here: &str,
    title: &'static str,
    intro: &'static str,
    sections: Vec<Section>,
) -> Result<Response, Refusal> {
    let signed = state.signed(headers).await?;
    let names = state.names().await?;
    let chrome = Chrome::new(state, lang, here).or(signed.as_ref(), &names);
    rendered(&HelpPage { chrome, title, intro, sections })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn has_han(text: &str) -> bool {
        text.chars().any(|letter| ('\u{3400}'..='\u{9fff}').contains(&letter))
    }

    #[test]
    fn every_sentence_is_there_in_both_languages() {
        let flags = Flag::ALL.iter().map(|flag| text::flag(*flag));
        let states = STATE_WORDS.iter().map(|word| text::state(word));
        let mut pairs: Vec<Pair> = vec![text::INTRO, data::INTRO];
        pairs.extend(flags.chain(states));
        for part in text::REST.iter().chain(&data::PARTS).chain([&text::DAY]) {
            pairs.push(part.title);
            pairs.extend(part.lines);
            pairs.extend(part.items.iter().flat_map(|(word, meaning)| [*word, *meaning]));
        }
        assert!(pairs.len() > 80, "{}", pairs.len());
        for (zh, en) in pairs {
            assert!(has_han(zh), "{zh}");
            assert!(!en.trim().is_empty() && !has_han(en), "{zh}: {en}");
            assert!(zh.chars().count() < 160 && en.len() < 420, "short: {zh}");
        }
    }

    #[test]
    fn every_state_and_every_flag_has_its_own_explanation() {
        let flags: BTreeSet<_> = Flag::ALL.iter().map(|flag| text::flag(*flag)).collect();
        assert_eq!(flags.len(), Flag::ALL.len());
        let states: BTreeSet<_> = STATE_WORDS.iter().map(|word| text::state(word)).collect();
        assert_eq!(states.len(), STATE_WORDS.len());
        assert!(!STATE_WORDS.iter().any(|word| text::state(word) == text::state("of-a-later-version")));
    }
}
