//! A ledger many times over, with other record numbers, dates and times.

/// Days between a row and its copy in the next copy of the ledger: thirty-three copies stay within a year.
const DAYS_APART: usize = 11;
/// Days of a year that is no leap year, by month.
const MONTHS: [usize; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAYS: usize = 365;
/// The columns that are changed, in the order of the shipped ledger: number, date, start, end, day of the report.
const NUMBER: usize = 0;
const DATE: usize = 5;
const START: usize = 6;
const END: usize = 7;
const REPORTED: usize = 8;

/// The rows of a ledger, header first; a row may have line ends within quotes.
fn rows(ledger: &str) -> Vec<&str> {
    let (mut rows, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in ledger.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                rows.extend(ledger.get(start..=at));
                start = at + 1;
            }
            _ => {}
        }
    }
    rows.extend(ledger.get(start..).filter(|rest| !rest.is_empty()));
    rows
}

/// How many rows there are after the header.
pub(super) fn rows_of(ledger: &str) -> usize {
    rows(ledger).len().saturating_sub(1)
}

/// The ledger as often as it takes to have at least so many rows.
pub(super) fn to_rows(ledger: &str, wanted: usize) -> String {
    let all = rows(ledger);
    let Some((header, body)) = all.split_first() else { return String::new() };
    let copies = wanted.div_ceil(body.len().max(1)).max(1);
    let mut grown = String::with_capacity(ledger.len() * copies);
    grown.push_str(header);
    for copy in 0..copies {
        for row in body {
            grown.push_str(&moved(row, copy));
        }
    }
    grown
}

/// A row of a later copy. What is not written plainly stays as it is: those rows are refused as duplicates.
fn moved(row: &str, copy: usize) -> String {
    let mut cells: Vec<String> = row.splitn(REPORTED + 2, ',').map(str::to_owned).collect();
    if copy == 0 || cells.len() < REPORTED + 2 || cells[..=REPORTED].iter().any(|cell| cell.contains('"')) {
        return row.to_owned();
    }
    if !cells[NUMBER].is_empty() {
        cells[NUMBER].push_str(&format!("-{copy:02}"));
    }
    if let Some(day) = day_of(&cells[DATE]) {
        let later = (day + DAYS_APART * copy) % DAYS;
        if let Some(reported) = day_of(&cells[REPORTED]).filter(|reported| *reported >= day) {
            cells[REPORTED] = date_of((later + reported - day).min(DAYS - 1));
        }
        cells[DATE] = date_of(later);
    }
    for at in [START, END] {
        if let Some(minute) = minute_of(&cells[at]).map(|minute| minute + copy).filter(|minute| *minute < 24 * 60) {
            cells[at] = format!("{:02}:{:02}", minute / 60, minute % 60);
        }
    }
    cells.join(",")
}

/// The day of the year of a plain date of 2025.
fn day_of(cell: &str) -> Option<usize> {
    let (month, day) = cell.strip_prefix("2025-")?.split_once('-')?;
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| text.len() == 2 && *number > 0);
    let (month, day) = (number(month)?, number(day)?);
    let length = *MONTHS.get(month - 1)?;
    (day <= length).then(|| MONTHS.iter().take(month - 1).sum::<usize>() + day - 1)
}

fn date_of(mut day: usize) -> String {
    for (month, length) in (1..).zip(MONTHS) {
        if day < length {
            return format!("2025-{month:02}-{:02}", day + 1);
        }
        day -= length;
    }
    "2025-12-31".to_owned()
}

fn minute_of(cell: &str) -> Option<usize> {
    let (hour, minute) = cell.split_once(':')?;
    let number = |text: &str| text.parse::<usize>().ok().filter(|_| text.len() == 2);
    Some(number(hour)? * 60 + number(minute)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_year_reads_as_it_is_written() {
        for day in 0..DAYS {
            assert_eq!(day_of(&date_of(day)), Some(day));
        }
        assert_eq!(["2025-02-29", "2025-13-01", "2025/01/02", "2024-01-01"].map(day_of), [None; 4]);
    }

    #[test]
    fn copies_have_other_numbers_dates_and_times() {
        let row = "A1,ST01,甲,访,现场,2025-12-30,09:30,10:00,2025-12-31,P01,\"x,\r\ny\"\r\n";
        let ledger = format!("h0,h1,h2,h3,h4,h5,h6,h7,h8,h9,h10\r\n{row}");
        let grown = to_rows(&ledger, 3);
        assert_eq!(rows_of(&grown), 3);
        assert!(grown.starts_with(&ledger));
        assert!(
            grown.contains("A1-01,ST01,甲,访,现场,2025-01-10,09:31,10:01,2025-01-11,P01,\"x,\r\ny\"\r\n"),
            "{grown}"
        );
        assert!(
            grown.ends_with("A1-02,ST01,甲,访,现场,2025-01-21,09:32,10:02,2025-01-22,P01,\"x,\r\ny\"\r\n"),
            "{grown}"
        );
    }
}
