//! A ticket as a QR code in the terminal: half blocks, two rows of modules in one line of text.
//!
//! Drawn dark on light whatever the terminal's colours are, with the quiet zone that cameras need.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of light around the code (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// The lines of the code; `None` when the text is too long for one.
pub(crate) fn draw(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let side = code.width();
    let colors = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let inside = (QUIET..side + QUIET).contains(&x) && (QUIET..side + QUIET).contains(&y);
        inside && colors.get((y - QUIET) * side + (x - QUIET)) == Some(&Color::Dark)
    };
    let whole = side + 2 * QUIET;
    let mut lines = String::new();
    for top in (0..whole).step_by(2) {
        // Black on white, set for each line so that nothing leaks when the terminal wraps.
        lines.push_str("\u{1b}[30;107m");
        for x in 0..whole {
            lines.push(match (is_dark(x, top), is_dark(x, top + 1)) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
        }
        lines.push_str("\u{1b}[0m\n");
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ticket of one address has about this many characters, all of the alphanumeric kind.
    const TICKET: &str = "QM1-0123456789ABCDEFGHJKMNPQRSTVWXYZ0123456789ABCDEFGHJKMNPQRSTVWXYZ0123456789ABCDEFGHJKMNPQRSTVWXYZ0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    #[test]
    fn code_is_square_and_keeps_its_quiet_zone() {
        let drawn = draw(TICKET).unwrap();
        let lines: Vec<String> =
            drawn.lines().map(|line| line.replace("\u{1b}[30;107m", "").replace("\u{1b}[0m", "")).collect();
        let wide = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == wide));
        assert_eq!(lines.len(), wide.div_ceil(2));
        assert!(lines[..2].iter().all(|line| line.trim().is_empty()), "two lines are four rows of light");
        assert!(lines.iter().all(|line| line.starts_with("    ") && line.ends_with("    ")));
        // The finder pattern: seven dark modules.
        assert!(lines[2].trim_start().starts_with("█▀▀▀▀▀█"), "{}", lines[2]);
        assert!(wide <= 80, "{wide} columns do not fit on a terminal");
    }

    #[test]
    fn text_too_long_for_a_code_is_told() {
        assert_eq!(draw(&"x".repeat(5_000)), None);
    }
}
