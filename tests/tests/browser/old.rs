//! What a WebView of ten years ago makes of the pages: nothing may need what it does not know.
//!
//! Such a tablet has Chromium 60 or so. What is younger stands here with what an old one does instead, or it is a fault. An old
//! browser leaves out a declaration that it does not understand; one with a `var()` in it is taken at first and then has no
//! effect at all, so that a simpler one before it helps nothing and only `@supports` does. The old ones know no `gap` in flex
//! boxes: the style sheet has margins for them, and `media` shows every page as they lay it out.

use serde_json::json;

use super::browser::Browser;
use super::sheet::{Block, blocks, functions, pseudos};

const STYLE: &str = qianmo_look::STYLE;

/// Whoever knows `inset` (87) knows gaps in flex boxes (84); `gap` itself was known in grids before (66).
const OLD: &str = "@supports not (inset: 0)";

/// What Chromium 60 knows of what is used.
const PROPERTIES: &str = "-webkit-text-size-adjust align-items align-self background border border-bottom border-bottom-color \
    border-bottom-width border-collapse border-color border-left border-left-color border-left-width border-radius \
    border-style border-top border-width box-shadow box-sizing break-after break-inside clip-path color content cursor display fill flex \
    flex-direction flex-wrap font font-size font-style font-variant-numeric font-weight grid-column grid-gap grid-row \
    grid-template-columns height justify-content justify-self left line-height list-style margin margin-bottom \
    margin-left margin-right margin-top max-height max-width min-height min-width opacity order outline outline-color \
    outline-offset overflow overflow-wrap overflow-x overflow-y padding padding-bottom padding-left padding-right padding-top position right bottom \
    stroke stroke-dasharray stroke-width text-align text-decoration text-overflow text-size-adjust text-transform top transform transition user-select \
    vertical-align visibility white-space width word-break z-index";
const FUNCTIONS: &str = "attr calc inset minmax repeat rgb rgba url var";
const PSEUDOS: &str = "before after placeholder checked disabled empty first-child first-of-type last-child last-of-type \
    nth-child only-child focus hover active visited target not root -webkit-details-marker";
const MEDIA: &str = "max-width min-width hover";
/// Units beside those of length that are as old as the web.
const UNITS_YOUNG: [&str; 8] = ["dvh", "svh", "lvh", "dvw", "cqw", "cqi", "lh", "rlh"];

/// What is younger and may be used, since when, and what an old browser does instead.
const YOUNGER: [(&str, u16, &str); 8] = [
    ("accent-color", 93, "ticks have the browser's own colour"),
    ("color-scheme", 81, "pages are light, as everything else there is"),
    ("forced-color-adjust", 89, "no system colours are forced on pages"),
    ("scroll-margin-top", 69, "what a link leads to stands at the very top"),
    ("text-decoration-thickness", 89, "a line through a text is as thick as the letters want it"),
    ("focus-visible", 86, "the browser's own ring shows the keyboard, which no rule takes away"),
    ("prefers-color-scheme", 76, "pages are light"),
    ("prefers-contrast", 96, "pages look as they do for everybody"),
];
/// Asked for where the system has colours of its own; who does not know it has none.
const FORCED: &str = "forced-colors";

fn is_in(word: &str, list: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

fn is_allowed(word: &str) -> bool {
    word == FORCED || YOUNGER.iter().any(|(name, ..)| *name == word)
}

/// The names that the condition of an at-rule asks for.
fn asked(prelude: &str) -> impl Iterator<Item = &str> {
    prelude.split('(').skip(1).map(|part| part.split([':', ')']).next().unwrap_or_default().trim())
}

/// Whether an old browser takes what is in this at-rule, and none that is younger.
fn is_taken_by_old(prelude: &str) -> bool {
    prelude == OLD || (prelude.starts_with("@media") && asked(prelude).all(|name| is_in(name, MEDIA)))
}

/// Whether only a younger browser takes it, and an old one loses nothing by that.
fn is_for_younger(prelude: &str) -> bool {
    let is_excused = || asked(prelude).all(|name| is_in(name, MEDIA) || is_allowed(name));
    prelude.starts_with("@supports (") || (prelude.starts_with("@media") && is_excused())
}

fn is_young_value(property: &str, value: &str) -> bool {
    let words = || value.split([' ', ',', '(', ')']).filter(|word| !word.is_empty());
    let is_unit = |word: &str| {
        UNITS_YOUNG.iter().any(|unit| word.strip_suffix(unit).is_some_and(|number| number.parse::<f32>().is_ok()))
    };
    let has_alpha = |word: &str| word.strip_prefix('#').is_some_and(|digits| [4, 8].contains(&digits.len()));
    let keywords: &[&str] = match property {
        "align-items" | "justify-content" => &["start", "end"],
        "overflow-wrap" => &["anywhere"],
        "display" => &["contents"],
        _ => &["clip", "fit-content", "revert", "pretty", "balance"],
    };
    functions(value).any(|name| !name.is_empty() && !is_in(name, FUNCTIONS))
        || words().any(|word| is_unit(word) || has_alpha(word) || keywords.contains(&word))
}

/// Whether what helps an old browser stands beside it.
fn has_fallback(rule: &Block, property: &str, old: &[&Block]) -> bool {
    match property {
        // The same to the letter, by an older name.
        "overflow-wrap" => rule.value("word-break") == Some("break-word"),
        "gap" => rule.selectors().all(|selector| {
            let margins = |other: &str| {
                let part = other.strip_prefix(selector).unwrap_or_default();
                part.starts_with(" > ") || part.starts_with("::before")
            };
            let has_margin = |block: &&&Block| block.declarations.iter().any(|(name, _)| name.starts_with("margin"));
            old.iter().filter(has_margin).any(|block| block.selectors().any(margins))
        }),
        _ => false,
    }
}

fn rule_faults(rule: &Block, old: &[&Block], faults: &mut Vec<String>) {
    let mut fault = |what: String| faults.push(format!("style.css:{} {}: {what}", rule.line, rule.prelude));
    for name in pseudos(&rule.prelude).filter(|name| !is_in(name, PSEUDOS) && !is_allowed(name)) {
        fault(format!(":{name} makes an old browser leave out the whole rule"));
    }
    for (property, value) in &rule.declarations {
        if property.starts_with("--") {
            continue;
        }
        let is_known = is_in(property, PROPERTIES) || is_allowed(property);
        if (!is_known || is_young_value(property, value)) && !has_fallback(rule, property, old) {
            fault(format!("an old browser does not know {property}: {value}, and nothing stands in for it"));
        }
        if property.starts_with("outline") && ["0", "none"].contains(&value.as_str()) {
            fault("takes away the ring that shows the keyboard".to_owned());
        }
    }
}

/// What an old browser would miss.
fn faults(css: &str) -> Vec<String> {
    let all = blocks(css);
    let old: Vec<&Block> = all.iter().filter(|block| block.prelude == OLD).flat_map(|block| &block.blocks).collect();
    let mut found = Vec::new();
    for block in &all {
        if !block.is_at_rule() {
            rule_faults(block, &old, &mut found);
        } else if is_taken_by_old(&block.prelude) {
            block.blocks.iter().for_each(|rule| rule_faults(rule, &old, &mut found));
        } else if !is_for_younger(&block.prelude) {
            found.push(format!("style.css:{} {} is younger", block.line, block.prelude));
        }
    }
    found
}

/// The style sheet as an old browser reads it.
fn as_read(blocks: &[Block]) -> String {
    let mut css = String::new();
    for block in blocks {
        if block.prelude == OLD {
            css += &as_read(&block.blocks);
        } else if block.is_at_rule() {
            if is_taken_by_old(&block.prelude) {
                css += &format!("{} {{\n{}}}\n", block.prelude, as_read(&block.blocks));
            }
        } else if pseudos(&block.prelude).all(|name| is_in(name, PSEUDOS)) {
            let read = block.declarations.iter().filter_map(|(property, value)| {
                let is_young = is_young_value(property, value);
                let is_read = property.starts_with("--") || is_in(property, PROPERTIES);
                let is_dropped = !is_read || (is_young && !value.contains("var("));
                (!is_dropped).then(|| format!("{property}: {};", if is_young { "unset" } else { value }))
            });
            css += &format!("{} {{ {} }}\n", block.prelude, read.collect::<String>());
        }
    }
    css
}

/// Marks what has gaps, then gives the page the style sheet as an old browser reads it.
const DRESS: &str = "
    for (const node of document.querySelectorAll('body *')) {
      const { display, columnGap, rowGap } = getComputedStyle(node);
      const gaps = [columnGap, rowGap].map((gap) => parseFloat(gap) || 0);
      if (/flex|grid/.test(display) && Math.max(...gaps) > 0) node.dataset.gap = gaps.join(' ');
    }
    for (const link of document.querySelectorAll('link[rel=stylesheet]')) link.disabled = true;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(arguments[0]);
    document.adoptedStyleSheets = [sheet];";

/// Lays the page out as an old browser does.
pub async fn dress(browser: &Browser) {
    browser.run_with(DRESS, json!(as_read(&blocks(STYLE)))).await;
}

/// What browsers know that came after modules did (61): a page's script is a module, which older ones leave alone.
const SCRIPT_YOUNG: [&str; 44] = [
    "?.",
    "??",
    "||=",
    "&&=",
    "catch {",
    "static {",
    "import(",
    "import.meta",
    "for await",
    "\nawait ",
    "this.#",
    "(?<",
    "\\p{",
    ".replaceAll(",
    ".at(",
    ".flat(",
    ".flatMap(",
    ".matchAll(",
    ".finally(",
    ".replaceChildren(",
    ".toggleAttribute(",
    ".findLast",
    ".toSorted(",
    ".toReversed(",
    ".toSpliced(",
    ".with(",
    ".requestSubmit(",
    ".showModal(",
    ".checkVisibility(",
    "Object.fromEntries",
    "Object.hasOwn",
    "Object.groupBy",
    "Promise.allSettled",
    "Promise.any",
    "Promise.withResolvers",
    "structuredClone",
    "globalThis",
    "queueMicrotask",
    "AbortController",
    "AbortSignal",
    "ResizeObserver",
    "randomUUID",
    "requestIdleCallback(",
    "startViewTransition",
];
/// What old browsers do not know of what may stand in a page.
const PAGE_YOUNG: [&str; 8] = ["<dialog", "<search", " popover", " inert", ".webp", ".avif", "until-found", "<script>"];

/// A script without its comments.
fn said(script: &str) -> String {
    let is_said = |line: &&str| !["//", "/*", "*"].iter().any(|mark| line.trim_start().starts_with(mark));
    script.lines().filter(is_said).flat_map(|line| ["\n", line]).collect()
}

fn text_faults(name: &str, text: &str, young: &[&str]) -> Vec<String> {
    let found = young.iter().filter(|word| text.contains(**word));
    found.map(|word| format!("{name} has {word:?}, which an old browser does not know")).collect()
}

fn templates(ending: &str) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/templates");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let wanted = files.filter(|file| file.extension().is_some_and(|found| found == ending));
    wanted
        .map(|file| (file.file_name().unwrap().display().to_string(), std::fs::read_to_string(&file).unwrap()))
        .collect()
}

#[test]
fn style_sheet_read_by_an_old_webview_misses_nothing_that_has_no_substitute() {
    assert_eq!(faults(STYLE), Vec::<String>::new());
    let unused = YOUNGER.iter().filter(|(name, ..)| !STYLE.contains(name)).map(|(name, ..)| *name);
    assert_eq!(unused.collect::<Vec<_>>(), Vec::<&str>::new(), "what is not used needs no excuse");
}

#[test]
fn scripts_and_pages_hold_nothing_that_an_old_webview_does_not_know() {
    let (scripts, pages) = (templates("js"), templates("html"));
    assert!(!scripts.is_empty() && pages.len() > 10, "{} scripts, {} pages", scripts.len(), pages.len());
    let mut found = Vec::new();
    for (name, text) in &scripts {
        found.extend(text_faults(name, &said(text), &SCRIPT_YOUNG));
    }
    for (name, text) in &pages {
        found.extend(text_faults(name, text, &PAGE_YOUNG));
        if text.matches("<script ").count() != text.matches("<script type=\"module\" src=").count() {
            found.push(format!("{name} has a script that is no module, which an old browser would run"));
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn features_younger_than_an_old_webview_are_found_and_their_substitutes_taken() {
    for css in [
        "a { inset: 0; }",
        "a { aspect-ratio: 1; }",
        "a { display: flex; gap: 1rem; }",
        "a { display: flex; gap: 1rem; } @supports not (inset: 0) { b > * { margin: 0; } }",
        "a { padding: 1rem; padding: max(1rem, var(--s1)); }",
        "a { width: min(1rem, 100%); }",
        "a { color: color-mix(in srgb, red, blue); }",
        "a { color: #12345678; }",
        "a { height: 100dvh; }",
        "a { overflow-wrap: anywhere; }",
        "a { align-items: end; }",
        "a { margin-inline: auto; }",
        "a { outline: none; }",
        "a:has(b) { color: red; }",
        "a:is(b, c) { color: red; }",
        ":where(a) { color: red; }",
        "@layer x { a { color: red; } }",
        "@container (min-width: 1rem) { a { color: red; } }",
        "@media (max-width: 1rem) { a { inset: 0; } }",
        "@media (width < 1rem) { a { color: red; } }",
    ] {
        assert_eq!(faults(css).len(), 1, "{css}: {:?}", faults(css));
    }
    let nested = std::panic::catch_unwind(|| blocks("a { b { color: red; } }"));
    assert!(nested.is_err(), "a rule inside a rule");
    for css in [
        "a { display: flex; gap: 1rem; } @supports not (inset: 0) { a > * { margin-right: 1rem; } }",
        "a { padding: 1rem; } @supports (padding: max(1px, 2px)) { a { padding: max(1rem, var(--s1)); } }",
        "a { word-break: break-word; overflow-wrap: anywhere; }",
        "a:focus-visible { outline: 3px solid; }",
        "@media (forced-colors: active) { a { inset: 0; } }",
    ] {
        assert_eq!(faults(css), Vec::<String>::new());
    }
    let read = as_read(&blocks(
        "a { gap: 1rem; width: min(1rem, 2rem); padding: max(1rem, var(--s1)); } a:focus-visible { color: red; }
         @supports not (inset: 0) { a > * { margin: 0; } } @media (forced-colors: active) { a { color: red; } }",
    ));
    assert_eq!(read, "a { padding: unset; }\na > * { margin: 0; }\n");
    for (script, word) in
        [("a?.b()", "?."), ("x = y ?? z", "??"), ("try {} catch {}", "catch {"), ("await x", "await ")]
    {
        let found = text_faults("x.js", &said(&format!("// fine: a?.b ?? c\n{script}")), &SCRIPT_YOUNG);
        assert!(found.len() == 1 && found[0].contains(word), "{script}: {found:?}");
    }
}
