//! Columns and the small repairs every cell gets.

use std::collections::BTreeSet;

use qianmo_forms::text::{Lines, clean, half_width, structural, trim};
use qianmo_forms::vocabulary::Vocabulary;

use super::outcome::Correction;

/// Characters of a free text that are kept.
const TEXT_CHARS_MAX: usize = 5_000;

macro_rules! columns {
    ($($(#[$doc:meta])* $column:ident = $key:literal,)+) => {
        /// A column that the rules know.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Column {
            $($column,)+
        }

        impl Column {
            pub(super) const ALL: &'static [Self] = &[$(Self::$column),+];

            pub(super) const fn key(self) -> &'static str {
                match self {
                    $(Self::$column => $key,)+
                }
            }
        }
    };
}

columns! {
    RecordNo = "record_no",
    StationId = "station_id",
    StationName = "station_name",
    ActivityType = "activity_type",
    ServiceMode = "service_mode",
    ActivityDate = "activity_date",
    StartTime = "start_time",
    EndTime = "end_time",
    ReportedOn = "reported_on",
    StaffId = "staff_id",
    StaffName = "staff_name",
    TargetId = "target_id",
    TargetName = "target_name",
    Town = "town",
    Village = "village",
    VillageCode = "village_code",
    Lat = "lat",
    Lon = "lon",
    CoordSys = "coord_sys",
    Crop = "crop",
    Variety = "variety",
    Phenology = "phenology",
    Pest = "pest",
    Content = "content",
    Advice = "advice",
    Technology = "technology",
    Area = "area",
    Households = "households",
    Attendees = "attendees",
    DemandCategory = "demand_category",
    DemandState = "demand_state",
    Satisfaction = "satisfaction",
    PhotoCount = "photo_count",
    ReviewState = "review_state",
    Remark = "remark",
}

/// Columns in which a full-width character is told.
const FULL_WIDTH_TOLD: [Column; 16] = [
    Column::RecordNo,
    Column::StationId,
    Column::ActivityDate,
    Column::StartTime,
    Column::EndTime,
    Column::ReportedOn,
    Column::StaffId,
    Column::TargetId,
    Column::VillageCode,
    Column::Lat,
    Column::Lon,
    Column::Area,
    Column::Households,
    Column::Attendees,
    Column::Satisfaction,
    Column::PhotoCount,
];

/// Which cell of a row belongs to which column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    places: Vec<Option<usize>>,
    pub(super) width: usize,
}

impl Header {
    /// Reads a header; of two columns with the same name the first counts.
    pub(super) fn read(cells: &[String], vocabulary: &Vocabulary) -> Self {
        let keys: Vec<Option<&str>> = cells.iter().map(|cell| vocabulary.column(cell)).collect();
        let place = |column: &Column| keys.iter().position(|key| *key == Some(column.key()));
        Self { places: Column::ALL.iter().map(place).collect(), width: cells.len() }
    }

    fn place(&self, column: Column) -> Option<usize> {
        // `ALL` is in the order of declaration, so a column's number is its place.
        self.places.get(column as usize).copied().flatten()
    }

    /// Whether any column is known.
    pub(super) fn is_known(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }

    /// The columns that are not there.
    pub(super) fn missing(&self) -> Vec<Column> {
        Column::ALL.iter().copied().filter(|column| self.place(*column).is_none()).collect()
    }
}

/// The cells of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells<'a> {
    pub(super) header: &'a Header,
    pub(super) cells: &'a [String],
    pub(super) vocabulary: &'a Vocabulary,
}

impl Cells<'_> {
    fn raw(&self, column: Column) -> &str {
        self.header.place(column).and_then(|at| self.cells.get(at)).map_or("", String::as_str)
    }

    /// Half-width and trimmed; null tokens stay.
    pub(super) fn plain(&self, column: Column) -> String {
        structural(self.raw(column))
    }

    /// Half-width and trimmed; blank if it says that there is nothing.
    pub(super) fn structural(&self, column: Column) -> String {
        let cell = self.plain(column);
        if self.vocabulary.is_null(&cell) { String::new() } else { cell }
    }

    /// A free text, personal numbers masked, cut at the limit.
    pub(super) fn text(&self, column: Column, codes: &mut BTreeSet<Correction>) -> String {
        let mut text = clean(self.raw(column), Lines::Many);
        if let Some(masked) = qianmo_forms::personal::mask(&text) {
            text = masked;
            codes.insert(Correction::PiiMasked);
        }
        if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(at);
            codes.insert(Correction::TextTruncated);
        }
        text
    }

    /// Whether a cell of a told column has full-width characters.
    pub(super) fn has_full_width(&self) -> bool {
        let told = |column: &Column| self.raw(*column).chars().any(|c| ('\u{FF01}'..='\u{FF5E}').contains(&c));
        FULL_WIDTH_TOLD.iter().any(told)
    }
}

/// Whether nothing is written in any cell.
pub(super) fn is_blank(cells: &[String]) -> bool {
    cells.iter().all(|cell| trim(cell).is_empty())
}

/// Half-width and without white space: how names are compared.
pub(super) fn without_spaces(text: &str) -> String {
    half_width(trim(text)).chars().filter(|c| !c.is_whitespace()).collect()
}

/// The tokens of a cell that lists several.
pub(super) fn tokens(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(['、', ',', '，', '/', ';', '；']).map(str::trim).filter(|token| !token.is_empty())
}

/// An id as the directory writes it: upper case, no white space, `-` or `_`, and so many digits after its letters.
pub(super) fn normal_id(cell: &str, letters: &str, digits: usize) -> String {
    let bare = |c: &char| !c.is_whitespace() && !matches!(c, '-' | '_');
    let id: String = cell.chars().filter(bare).flat_map(char::to_uppercase).collect();
    let number = id.strip_prefix(letters).filter(|number| !number.is_empty());
    match number {
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let number = number.trim_start_matches('0');
            format!("{letters}{number:0>digits$}")
        }
        Some(_) | None => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_get_their_usual_digits() {
        for (cell, letters, digits, id) in [
            ("st1", "ST", 2, "ST01"),
            ("ST-001", "ST", 2, "ST01"),
            ("st_12", "ST", 2, "ST12"),
            ("ST 123", "ST", 2, "ST123"),
            ("T7", "T", 3, "T007"),
            ("T0007", "T", 3, "T007"),
            ("p-5", "P", 2, "P05"),
            ("STX", "ST", 2, "STX"),
            ("ST", "ST", 2, "ST"),
            ("ST00", "ST", 2, "ST00"),
            ("", "ST", 2, ""),
        ] {
            assert_eq!(normal_id(cell, letters, digits), id, "{cell}");
        }
    }

    #[test]
    fn columns_stand_in_the_order_of_their_numbers() {
        assert!(Column::ALL.iter().enumerate().all(|(at, column)| *column as usize == at));
    }
}
