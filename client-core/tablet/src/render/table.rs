//! Columns that line up when half of the text is Chinese: a Chinese character is two columns wide.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Space between columns.
const GAP: &str = "  ";

/// Columns of a text.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text on one line, cut to a width; `…` stands for what is gone.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    let line = one_line(text);
    if width(&line) <= columns {
        return line;
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in line.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Line ends and control characters as spaces: a record's text cannot break a table or steer a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Control characters other than line ends as spaces, later lines indented.
pub(crate) fn block(text: &str, indent: usize) -> String {
    let lines: Vec<String> = text.lines().map(one_line).collect();
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// The text and spaces up to a width.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Rows under headings, no line wider than `columns`; the last column gives way.
pub(crate) fn table(headings: &[String], rows: &[Vec<String>], columns: usize) -> Vec<String> {
    let mut widths: Vec<usize> = headings.iter().map(|heading| width(heading)).collect();
    for row in rows {
        for (slot, cell) in widths.iter_mut().zip(row) {
            *slot = (*slot).max(width(&one_line(cell)));
        }
    }
    let before: usize = widths.iter().rev().skip(1).map(|width| width + GAP.len()).sum();
    if let Some(last) = widths.last_mut() {
        *last = (*last).min(columns.saturating_sub(before).max(8));
    }
    std::iter::once(headings)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| pad(&cut(cell, *width), *width)).collect();
            cells.join(GAP).trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_when_some_cells_are_chinese() {
        let headings = ["id".to_owned(), "状态".to_owned(), "what".to_owned()];
        let rows = [
            vec!["1a2b".to_owned(), "待上传".to_owned(), "套袋".to_owned()],
            vec!["9".to_owned(), "ok".to_owned(), "x\ny".to_owned()],
        ];
        let lines = table(&headings, &rows, 80);
        assert_eq!(lines, ["id    状态    what", "1a2b  待上传  套袋", "9     ok      x y"]);
    }

    #[test]
    fn last_column_gives_way_and_no_wide_character_is_halved() {
        assert_eq!(cut("梨小食心虫", 6), "梨小…");
        assert_eq!(cut("梨小食心虫", 10), "梨小食心虫");
        let lines = table(&["a".to_owned(), "b".to_owned()], &[vec!["1".to_owned(), "长".repeat(30)]], 20);
        assert!(lines.iter().all(|line| width(line) <= 20), "{lines:?}");
    }

    #[test]
    fn text_of_a_record_cannot_steer_a_terminal() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a [2Jb c");
        assert_eq!(block("一\n\u{7}二", 2), "一\n   二");
    }
}
