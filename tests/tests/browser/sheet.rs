//! A style sheet, taken apart as far as the checks need: rules, what stands before them, and declarations.

/// What has a block: a rule with declarations, or `@media` and its like with more of them.
#[derive(Debug)]
pub struct Block {
    /// Selectors, or the name of an at-rule with its condition.
    pub prelude: String,
    pub line: usize,
    /// Properties and values, of a rule.
    pub declarations: Vec<(String, String)>,
    /// What stands inside, of an at-rule.
    pub blocks: Vec<Self>,
}

impl Block {
    pub fn is_at_rule(&self) -> bool {
        self.prelude.starts_with('@')
    }

    /// The selectors of a rule, one by one.
    pub fn selectors(&self) -> impl Iterator<Item = &str> {
        self.prelude.split(',').map(str::trim)
    }

    pub fn value(&self, property: &str) -> Option<&str> {
        self.declarations.iter().rev().find(|(name, _)| name == property).map(|(_, value)| value.as_str())
    }
}

/// Without comments, with as many lines as before.
fn bare(css: &str) -> String {
    let mut left = String::new();
    let mut rest = css;
    while let Some((before, after)) = rest.split_once("/*") {
        let (comment, behind) = after.split_once("*/").expect("every comment ends");
        left.push_str(before);
        left.extend(comment.chars().filter(|char| *char == '\n'));
        rest = behind;
    }
    left + rest
}

/// The blocks of a style sheet. Braces stand in no string of ours.
///
/// # Panics
/// When a block has no end, or a rule has another one inside, which old browsers do not know.
pub fn blocks(css: &str) -> Vec<Block> {
    inside(&bare(css), 1)
}

fn inside(css: &str, first_line: usize) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (css, first_line);
    while let Some((before, after)) = rest.split_once('{') {
        let body = &after[..end_of(after)];
        let prelude = before.trim();
        assert!(!prelude.contains([';', '}']), "line {line}: {prelude} has no block");
        let start = line + before.matches('\n').count();
        let at = start - prelude.matches('\n').count();
        let mut block = Block { prelude: prelude.to_owned(), line: at, declarations: Vec::new(), blocks: Vec::new() };
        if block.is_at_rule() {
            block.blocks = inside(body, start);
        } else {
            assert!(!body.contains('{'), "line {at}: {prelude} has a rule inside, which an old browser does not know");
            block.declarations = declarations(body);
        }
        found.push(block);
        line = start + body.matches('\n').count();
        rest = &after[body.len() + 1..];
    }
    assert!(rest.trim().is_empty(), "line {line}: {rest}");
    found
}

/// Where the block ends that `after` is the inside and the rest of.
fn end_of(after: &str) -> usize {
    let mut depth = 1;
    for (at, char) in after.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a block has no end: {after:.60}");
}

fn declarations(body: &str) -> Vec<(String, String)> {
    let parts = body.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once(':').unwrap_or_else(|| panic!("{part} is no declaration"));
            (name.trim().to_owned(), value.trim().to_owned())
        })
        .collect()
}

/// Names that end with a bracket: functions of a value.
pub fn functions(value: &str) -> impl Iterator<Item = &str> {
    let names = value.match_indices('(').map(|(at, _)| &value[..at]);
    names.map(|before| &before[before.rfind(|char: char| !is_name(char)).map_or(0, |at| at + 1)..])
}

/// What stands after a colon of a selector: classes and elements that are not written in a page.
pub fn pseudos(selector: &str) -> impl Iterator<Item = &str> {
    let parts = selector.match_indices(':').map(|(at, _)| &selector[at + 1..]);
    let names = parts.map(|after| &after[..after.find(|char: char| !is_name(char)).unwrap_or(after.len())]);
    names.filter(|name| !name.is_empty())
}

const fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '-'
}
