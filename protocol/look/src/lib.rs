//! What the pages of the hub and of the tablet have in common: one stylesheet, one icon, and the headers that every answer
//! has. Text only; each face serves it in its own way.
//!
//! A person who writes on a tablet and reviews at a desk meets the same words in the same colours (design, section 7).

/// The stylesheet: tokens first, then what pages are made of; light and dark, more contrast, the system's colours, paper.
pub const STYLE: &str = include_str!("../style.css");

/// The icon, an SVG.
pub const ICON: &str = include_str!("../icon.svg");

/// Headers of every answer, by lower-case name: our own script and nothing from elsewhere, in no frame.
///
/// A referrer goes to ourselves only. Without any, a browser says that its forms come from `null`, and they are refused.
pub const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
];
