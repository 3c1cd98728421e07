# Importing a ledger
help-import = Import an old ledger (CSV): clean it row by row, and report what became of every row
help-import-ledger = The ledger: CSV, in UTF-8 or GB18030
help-import-with = Folder of the directory: stations.json, pinggu-divisions.csv; and vocab.json if it is your own
help-import-year = The year of the ledger, such as 2025
help-import-report = Write the whole report to a file, as JSON
help-import-rejected = Write the refused rows as CSV, to correct and import again; beside the ledger if not given, not at all in a dry run
help-import-dry-run = Clean and report, file nothing; needs no enrolment, and writes nothing but the report
help-import-without-states = Leave the states of review behind: all but drafts are handed in as new records
help-import-station = File only rows of these stations; may be repeated. The report is still of the whole ledger
help-import-json = Print the whole report
help-import-examples =
    Examples:
      qianmo import ledger.csv --with directory --year 2025 --dry-run --report report.json
      qianmo import ledger.csv --with directory --year 2025 --rejected refused.csv
      qianmo import refused.csv --with directory --year 2025

    Stations, people, organisations, targets and annual tasks come first, then the records; what is here already is not filed twice.
    Only a coordinator may bring in states of review. Ends with 0 even if rows are refused; see the report.
help-duplicates = List records that are there twice: after two tablets imported the same ledger
help-duplicates-withdraw = Withdraw the later ones; every tablet keeps the same
help-duplicates-examples =
    Examples:
      qianmo duplicates
      qianmo duplicates --withdraw

    The one that was created first stays. A withdrawn one is hidden; its history is kept.

import-dry-run = Dry run: nothing was filed
import-reading = Cleaning
import-filing = Filing
import-missing-columns = The ledger does not have these columns; they are taken as blank: { $columns }
import-summary =
    { $file } ({ $encoding }): { $rows } rows
    { $skipped } skipped, { $rejected } refused, { $accepted } accepted ({ $corrected } of them corrected, { $approved } approved)
import-skipped = Skipped
import-rejected = Refused
import-corrected = Corrected (a row may have several)
import-flagged = Flags (for the reviewer; they refuse nothing)
import-refused-next = The { $count } refused rows are in { $file }; correct them and import that file
import-entries-filed = Directory: { $created } new, { $changed } changed, { $unchanged } unchanged, { $not_allowed } not yours to write, { $untaken } not taken by the form
import-rows-filed = Records: { $created } new, { $known } here already, { $same } of an activity that is here, { $left_out } of other stations, { $untaken } not taken by the form
import-row-same = Row { $row }: not filed, record { $record } has the same station, type, date, person, target and start
import-row-untaken = Row { $row }: { $why }
import-untaken = the form does not take { $count } rows, clean as they are
import-no-right = you may not write records of these stations: { $stations }
import-no-states = you may not bring in states of review of these stations: { $stations }
import-without-states = States of review stay behind: all but drafts are handed in as new records
import-no-organisation = You may not write the organisation's directory: stations, people and organisations are not filed; a coordinator imports them once

next-import-no-right = choose your own stations with --station, or ask the administrator for the right
next-import-no-states = let a coordinator import, or add --without-states to hand everything in as new
next-import-again = run the same command again: it goes on, and files nothing twice
next-import-untaken = correct these rows of the ledger as said above, and import again
error-ledger = { $file } cannot be read as a ledger
error-ledger-same-file = report and refused rows cannot go into the ledger itself, { $file }
next-ledger-same-file = give --report and --rejected another file
error-ledger-changed = the ledger { $file } was changed while it was filed; what is filed is kept
next-ledger-changed = close what edits it and import again; nothing is filed twice
next-ledger-empty = see whether it is the right file
next-ledger-large = split it by station or month
next-ledger-workbook = open it in Excel or WPS and save it as “CSV UTF-8 (comma delimited)”
next-ledger-text = a ledger is a CSV text file
next-ledger-quote = look for a double quote that is not closed after that line
next-ledger-shape = open the file at that line and take out what does not belong there
next-ledger-encoding = open it in an editor and save it as UTF-8
next-ledger-folder = that is a folder; name the file in it
next-ledger-header = the first line must be the header, such as 记录编号,站点编号,记录类型,日期…; delete titles above it
error-with = the folder { $folder } cannot be used
next-with-missing = the folder must have { $stations } and { $divisions }
next-with-broken = correct the file at the place named above ({ $stations }, { $divisions }), or fetch it again

duplicates-none = No record is there twice
duplicates-next = { $count } too many; withdraw them in one step with qianmo duplicates --withdraw
duplicates-withdrawn = { $count } withdrawn
duplicates-note = the same as { $record }
column-stays = stays
column-duplicates = duplicates
