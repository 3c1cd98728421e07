//! Where one can go from every page: the bar above, and the foot below. A place is one line here.

use qianmo_forms::Lang;

use super::{Chrome, address};
use crate::web::Signed;

/// A place that every page links to.
#[derive(Debug)]
struct Place {
    path: &'static str,
    zh: &'static str,
    en: &'static str,
    /// Who is shown it; the page itself checks the right.
    for_whom: ForWhom,
}

#[derive(Debug, Clone, Copy)]
enum ForWhom {
    Everybody,
    /// Whoever decides on records of a station, and so looks after its tablets.
    Reviewers,
}

/// The bar above, from left to right.
const BAR: [Place; 5] = [
    Place { path: "/inbox", zh: "待审", en: "Inbox", for_whom: ForWhom::Reviewers },
    Place { path: "/", zh: "记录", en: "Records", for_whom: ForWhom::Everybody },
    Place { path: "/find", zh: "查找", en: "Find", for_whom: ForWhom::Everybody },
    Place { path: "/fleet", zh: "设备", en: "Devices", for_whom: ForWhom::Reviewers },
    Place { path: "/help", zh: "帮助", en: "Help", for_whom: ForWhom::Everybody },
];

/// The foot below.
const FOOT: [Place; 3] = [
    Place { path: "/help", zh: "帮助", en: "Help", for_whom: ForWhom::Everybody },
    Place { path: "/about-my-data", zh: "关于我的数据", en: "About my data", for_whom: ForWhom::Everybody },
    Place { path: "/complaints", zh: "投诉建议", en: "Complaints and suggestions", for_whom: ForWhom::Everybody },
];

/// A link as a page shows it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: String,
    pub(super) text: &'static str,
    /// Whether this page is there, or under it.
    pub(super) is_here: bool,
}

/// Whether the page at `here`, an address with or without a query, belongs to a place.
fn is_under(here: &str, place: &str) -> bool {
    let (path, query) = here.split_once('?').unwrap_or((here, ""));
    // A record that was opened from the inbox is under the inbox.
    let is_queued = path.starts_with("/records/") && query.starts_with("in=inbox");
    match place {
        "/" => path == "/" || (path.starts_with("/records/") && !is_queued),
        "/inbox" if is_queued => true,
        place => path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

fn links(places: &[Place], here: &str, lang: Lang, signed: Option<&Signed>) -> Vec<Link> {
    let is_shown = |place: &&Place| match (place.for_whom, signed) {
        (ForWhom::Everybody, _) => true,
        (ForWhom::Reviewers, signed) => signed.is_some_and(Signed::may_review),
    };
    let link = |place: &Place| Link {
        address: address(place.path, lang),
        text: match lang {
            Lang::Zh => place.zh,
            Lang::En => place.en,
        },
        is_here: is_under(here, place.path),
    };
    places.iter().filter(is_shown).map(link).collect()
}

impl Chrome {
    /// The links above for whoever looks at the page `here`.
    pub(super) fn bar(here: &str, lang: Lang, signed: Option<&Signed>) -> Vec<Link> {
        links(&BAR, here, lang, signed)
    }

    /// The links below.
    pub(super) fn foot(here: &str, lang: Lang) -> Vec<Link> {
        links(&FOOT, here, lang, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_marks_the_place_it_is_under_and_no_other() {
        for (here, place) in [
            ("/", "/"),
            ("/?state=pending", "/"),
            ("/records/00ff", "/"),
            ("/records/00ff?in=inbox&state=pending", "/inbox"),
            ("/fleet", "/fleet"),
            ("/fleet/acts?before=3", "/fleet"),
        ] {
            assert!(is_under(here, place), "{here} {place}");
        }
        for (here, place) in [
            ("/records/00ff?in=inbox", "/"),
            ("/records/00ff", "/inbox"),
            ("/fleet", "/"),
            ("/fleets", "/fleet"),
            ("/", "/fleet"),
            ("/sign-in?next=%2Ffleet", "/fleet"),
        ] {
            assert!(!is_under(here, place), "{here} {place}");
        }
    }
}
