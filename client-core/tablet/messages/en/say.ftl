# States
state-held = held
state-waiting = waiting
state-acknowledged = arrived
state-backed-up = backed up
state-elsewhere = received
state-conflicts = { $count ->
    [one] 1 conflict
   *[other] { $count } conflicts
}
review-unsubmitted = not handed in
review-pending = pending
review-approved = approved
review-returned = returned
review-withdrawn = withdrawn
review-disagreed = opinions differ
review-unsettled = unsettled
review-changed-after = changed since approval
act-submit = handed in
act-approve = approved
act-return = returned
act-reopen = opened again
act-withdraw = withdrawn
act-comment = comment

# Next steps
next-held = nothing is lost; do as said below, or tell the administrator the code
next-waiting = saved on this device; run qianmo sync when there is a network
next-acknowledged = durable at the hub; nothing to do
next-backed-up = in the hub's backup; nothing to do
next-elsewhere = written on another device and received here
next-not-enrolled = ask the administrator for a ticket and run qianmo enroll TICKET; until then you can write drafts
next-disk-full = the disk is full: remove files you do not need and try again; everything saved before is kept
next-store-failed = close other programs and try again; if it persists, copy the whole data folder and give it to the administrator with these words
next-in-use = close the other qianmo (or app), or name another folder with --data
next-identity = restore the data folder from a backup; without one, enrol again in a new folder with --data and keep the old one for the administrator
next-ticket-copy = check that the ticket is whole (it begins with QM1-, without spaces); best copy it in one piece
next-ticket-new = ask the administrator for a new ticket, then run qianmo enroll again
next-enrolled-already = nothing to do; qianmo status shows it
next-other-folder = enrol in a new data folder, with --data
next-enroll-again = check the network and try the same ticket again
next-wrong-answer = ask the administrator to check the hub's address; the network may want you to log in first
next-forms = run qianmo new to see the forms
next-invalid = complete or correct it and try again
next-draft = --draft saves it unfinished
next-unknown-person = qianmo status shows who uses this device; the administrator can add people
next-code = check it and write it again
next-moved-on = see what is there now with qianmo show, then change it again
next-draft-too-large = shorten it, or hand it in and add the rest later
next-new-record = go on in a new record
next-not-allowed = tell the administrator or coordinator the code
next-unreachable = everything is kept here; run qianmo sync when there is a network, and it goes on where it stopped
next-halted = then run qianmo sync again; everything here is kept
next-unknown-record = qianmo list shows the ids; if it was written on another device, run qianmo sync first
next-unknown-draft = qianmo drafts shows the ids
next-file = check the path and the rights, and try again
next-ambiguous = write more digits
next-unknown-field = name a field by its name or label
next-version = use the version in show --json
next-update = update qianmo
next-no-conflict = qianmo show shows the conflicts
next-clock = set the device's clock, or name the month, such as --month 2025-06
next-refused = it is kept here; tell the administrator the codes above
next-data-dir = name a folder with --data

# Errors
error-what = Error: { $what }
error-why = {"  "}why: { $why }
error-next = {"  "}next: { $next }
error-store = the store of this device failed; this was not saved
error-closed = the store is closed
error-must-update = the hub decided something that this version cannot read, so records are not shown
next-must-update = update the app; what was written is kept, and is still sent
error-not-enrolled = this device is not enrolled
error-in-use = the data folder { $folder } is in use by another program
error-identity = the device's identity in { $folder } cannot be read
error-open = the data folder { $folder } cannot be opened
error-data-dir = where to keep data is unknown: neither HOME nor QIANMO_DATA is set
error-runtime = the program cannot start
error-ticket = the ticket cannot be read
error-enrolled-already = this device is enrolled already
error-other-organisation = this data folder belongs to another organisation
error-ticket-unknown = the hub never gave out this ticket
error-ticket-used = another device used this ticket
error-ticket-expired = this ticket has expired
error-ticket-key = the hub does not accept this device's key
error-hub-busy = the hub is busy
error-unreachable = the hub cannot be reached
error-wrong-answer = whoever answered is not the hub of the ticket
error-timed-out = the time was up before the hub answered
error-unknown-form = there is no form “{ $form }”
error-invalid = { $count ->
    [one] one answer needs a second look; nothing was saved
   *[other] { $count } answers need a second look; nothing was saved
}
error-unknown-person = “{ $person }” does not use this device
error-code = “{ $text }” is not a { $what }
error-moved-on = the version or conflict you saw is no longer there; nothing was saved
error-draft-too-large = the draft has { $have } bytes, at most { $max } are kept
error-not-writable = the change cannot be written
error-not-allowed = not allowed (code { $code }): { $what }
error-unknown-record = record { $record } is not on this device
error-unknown-draft = there is no draft { $draft }
error-no-id = “{ $id }” is not an id: write hexadecimal digits, { $min } at least
error-ambiguous = more than one begins with “{ $id }”
error-unknown-field = form { $form } has no field “{ $field }”
error-version = the version cannot be read
error-no-conflict = “{ $field }” has no conflict
error-no-candidate = there is no value { $number }; there are { $count }
error-file = the file { $file } cannot be written
usage-unknown-command = there is no command “{ $command }”
usage-unknown-argument = there is no option “{ $argument }”
usage-missing-value = a value is missing after { $argument }
usage-wrong-value = “{ $value }” is not a value of { $argument }
usage-conflict = { $argument } and { $other } do not go together
usage-missing-argument = { $argument } is missing
usage-missing-command = say what to do
usage-suggestion = did you mean { $what }?
usage-values = values: { $values }
usage-next = add --help for usage and examples

# Questions
ask-begin = Enter leaves out what is optional, or keeps what is in brackets; :save leaves a draft, :back goes back, :help shows the rest.
ask-help =
    :save   leave a draft (:s)
    :back   the question before (:b)
    :skip   leave it for the end
    :clear  empty this answer
    :list   all choices (:l)
    :remove remove the row this question is in
ask-first = This is the first question.
ask-required = An answer is needed. :skip leaves it for the end, :save leaves a draft.
ask-cleared = {"  "}cleared
ask-no-list = This question has no choices.
ask-no-row = This question is not in a row.
ask-row-removed = {"  "}row removed
ask-which = Several fit; choose one:
ask-not-in-list = “{ $typed }” is not in the list; write a number, a name or a part of one; :list shows all
ask-warning = {"  "}Look again: { $warning }
ask-still-open = { $count ->
    [one] One answer needs a second look:
   *[other] { $count } answers need a second look:
}
ask-add-row = { $repeat }: { $count } so far. Add one? (y adds, Enter goes on)
ask-row = row { $row }
ask-mark-required = * required
ask-mark-empty = [empty]
ask-long-list = {"  "}… { $count } in all; write a part of a name to find one, :list shows all
ask-several = {"  "}several, with commas between
ask-long-text = {"  "}more than one line: end a line with \
ask-yes-no = {"  "}yes / no
ask-date = {"  "}such as 2025-06-18
ask-time = {"  "}such as 09:30
ask-persons = {"  "}who uses this device: { $persons }

# Drafts
draft-new = new record
draft-edit = change of { $record }
draft-returned-new = new record, held and given back
draft-returned-edit = change of { $record }, held and given back
draft-kept = Draft { $draft } is kept on this device and never sent. Go on with: qianmo drafts resume { $draft }
draft-nothing = Nothing was answered; no draft was kept.
drafts-none = No drafts. Write a record: qianmo new visit
drafts-next = Go on with one: qianmo drafts resume ID; throw one away: qianmo drafts discard ID
drafts-discarded = Draft { $draft } is gone.

# Commands
enroll-ask = Ticket:{" "}
enroll-begin = Enrolling…
enroll-done = Enrolled: { $organisation }, station { $station }, persons { $persons }
enroll-next = Write a record: qianmo new visit; fetch what your station has: qianmo sync
new-next = Write one: qianmo new FORM
new-not-enrolled = This device is not enrolled: what you write is kept as a draft; after enrolment hand it in with qianmo drafts resume.
new-open-draft = There is an unfinished draft { $draft } ({ $time }, { $count } answers); go on with it: qianmo drafts resume { $draft }
new-draft-saved = Draft saved: { $form } { $draft }
new-filled = {"  "}filled in { $field }: { $value }
new-saved = Saved: { $form } { $record } ({ $state })
form-record = activity
form-registry = directory
edit-nothing = Nothing changed.
edit-saved = Saved: { $record } ({ $state }, { $review })
edit-conflict = Someone else changed “{ $field }” too; both values are kept:
list-none = No records on this device yet. Write one: qianmo new visit; fetch what there is: qianmo sync
list-none-such = No record fits. See them all: qianmo list
list-more = The newest { $count }; --limit shows more, --month, --form and --state narrow it down
list-next = { $count ->
    [one] One record.
   *[other] { $count } records.
} Everything about one: qianmo show ID
resolve-none = This record has no conflict.
resolve-done = Settled: { $field } is “{ $value }”; conflicts left: { $left }
conflict-title = Conflict: { $field } ({ $kind })
conflict-concurrent = written at the same time
conflict-overwritten = written over without seeing the others
conflict-removed-row = one removed the row, another changed it
conflict-candidate = { $number }. { $value }  — { $person } { $time }
conflict-next = Decide which stands: qianmo resolve { $record } { $field } --keep N

show-facts = by { $author} · written { $time } · logbook { $logbook }
show-form-unknown = This version does not know the form “{ $form }” and shows it as it is; update qianmo
show-where = Where: { $state }
show-held = {"  "}code { $code }: { $what }. { $next }
show-held-here = {"  "}code { $code }: { $what }; only this device says so, the hub has not. Sync first; if it stays so, update qianmo or tell the administrator the code
show-unshown = {"  "}Changes this version cannot show: { $count }. Update qianmo; they show by themselves then, nothing is lost
show-review = Review: { $state }
show-changed-after = changed since approval: a coordinator has to look again
show-mark-conflict = {"  "}⚠ conflict
show-empty = (empty)
show-nobody = unknown
show-reviews = Review events
show-imported = {" "}(imported)
show-does-not-count = {" "}(held, does not count)
show-reasons = reasons: { $reasons }
show-history = History
show-this-device = this device
show-resolved = settled the conflict: { $field }
show-row-removed = row removed

column-record = record
column-created = written
column-form = form
column-state = state
column-gist = what
column-draft = draft
column-saved = saved
column-answers = answers
column-purpose = for
column-name = name
column-kind = kind
column-station = station
column-logbook = logbook
column-author = author
column-delivery = where
column-review = review
column-conflicts = conflicts

sync-begin = Syncing…
sync-running = Syncing, { $waiting } waiting
sync-watching = Connected to the hub; what is new will be said. Ctrl-C ends it.
sync-nothing = Both sides agree; nothing to send or fetch.
sync-moved = Records sent: { $up }, received: { $down }; receipts of the hub: { $acknowledged }
sync-cost = { $seconds } s, round trips: { $trips }, sent { $up }, received { $down }
sync-conflicts = New conflicts: { $count }. See them: qianmo list --state conflict
sync-held-records = Records held: { $count }; what you wrote is back as drafts: qianmo drafts
sync-waiting = Without a receipt: { $count }; they go out again the next time
sync-refused = The hub did not take { $pack }: { $why }
sync-refused-some = the hub does not take some of it
sync-incomplete = the time was up before everything was exchanged
sync-held = Records held: { $count }; given back as drafts: { $drafts }. See them: qianmo drafts
sync-base-vanished = Record { $record }: what you wrote is kept; { $count } fields you had before you showed values that are held by now. See it: qianmo show { $record }
sync-copied = This device's data was copied; nothing is lost. What to do: qianmo status
sync-erased = { $records } records were erased for good by the organisation and are gone from this device (with { $drafts } drafts and unsent edits of { $unsent })
sync-repaired = The index of this device was repaired.

status-who = { $organisation } · station { $station } · device { $device }
status-persons = Persons: { $persons }
status-not-enrolled = This device is not enrolled.
status-counts = Records: { $records }; drafts: { $drafts }; waiting: { $waiting }; held: { $held }
status-held-next = see them: qianmo list --state held
status-last = Last sync: { $time }
status-never = Never synced.
status-failed = The last sync failed ({ $time }): { $what }
status-halted = Sync is halted: { $reason }
status-update = Note: { $what }
status-erased = { $time }: { $what }
status-copied = Attention, noticed { $time } (the other copy last wrote { $theirs }, by its clock): { $what }
next-copied = if two tablets go on with the same data, ask the administrator for a new ticket for one of them and run there: qianmo enroll TICKET (its records stay)
next-copied-image = if this tablet was only restored from an old image, do nothing: what it had sent comes back by itself, and this line goes 30 days after the last sign
status-read-only = The store of this device takes no more: check the free space and run it again; else tell the administrator
status-room = Only { $free } free on the disk: remove files you do not need
status-unreadable-drafts = Drafts this version cannot read: { $count }; update qianmo
open-index-rebuilt = The index was built anew at opening; no record is changed by that
open-index-in-memory = The index cannot be kept on the disk and is built anew at every start, which takes longer but changes no record. Check the free space
open-unfinished-write = The last write had been cut short, and its unfinished part was removed; all that was said to be saved is kept
open-damaged = The store has a damaged place, which was stepped over and kept as a copy; records saved there may be missing. Sync now, and tell the administrator
open-read-only = The store of this device takes no more and can only be read: check the free space and run it again; else tell the administrator
open-unreadable = Something here cannot be read by this version, and is kept as it is: update qianmo

evict-done = { $logbook } is gone from this device; the hub and its backup have it. Bring it back: qianmo bring-back { $logbook }
evict-none-before = No logbook here is older
evict-kept = Logbooks that cannot go yet: { $count }
evict-list-none = No logbook was let go of
evict-list-next = bring one back: qianmo bring-back LOGBOOK
bring-back-done = The next sync brings { $logbook } back: qianmo sync
error-evict-name = “{ $logbook }” is no logbook
error-evict-directory = { $logbook } is no month's logbook; every device keeps its directories
error-evict-not-here = nothing of { $logbook } is on this device
error-evict-not-evicted = { $logbook } was not let go of here
error-evict-unsettled = { $logbook } has { $count } saves or packs that are not sent or judged yet
error-evict-unreceipted = the hub has not signed for { $count } packs of { $logbook }
error-evict-not-backed-up = { $count } packs of { $logbook } are not known to be in the hub's backup
error-evict-too-many = { $max } logbooks are gone already, and no more can be
error-evict-busy = a sync is under way
next-evict-name = name a station and a month, such as ST01/2025-06
next-evict-list = see what was let go of: qianmo evict --list
next-evict-sync = run qianmo sync, then try again
next-evict-backup = sync twice after the hub's next backup, then try again; everything is still here
next-evict-too-many = bring some back first: qianmo bring-back
next-evict-busy = try again when it is over

export-done = Records exported: { $count }, without personal data
export-done-personal = Records exported: { $count }, with personal data: keep it safe

clock-wrong = Attention: the device's clock says { $time }, which cannot be right. Dates are not filled in, write them yourself; the order of things is safe. Please set the clock.

# Review
review-queue-empty = nothing waits for review
review-queue-next = { $count } wait for review, { $shown } shown. Look: qianmo show ID; approve: qianmo review approve ID; send back: qianmo review return ID --reason REASON
review-done = { $record }: { $review }
review-approve-all = these { $count } will be approved. If that is right, run it again with --yes
review-approved-one = approved { $record }  { $gist }
review-approved-all = approved { $count }, failed { $failed }. Send them with qianmo sync when there is a network
column-code = Code
column-reason = Reason
error-unknown-reason = there is no reason “{ $reason }”
next-unknown-reason = qianmo review reasons lists them; give the code or the words
error-empty-comment = the comment is empty
next-empty-comment = write it after the id, or use --field FIELD=NOTE
error-at-for-one = --at is for one record
next-at-for-one = leave --at out, or name one record

# Forms
form-registry-station = directory (station)
form-registry-organisation = directory (organisation)
column-version = version
column-fields = fields
column-required = required
column-personal = personal
column-hidden = hidden
forms-next = { $forms } forms, { $lists } lists. See one: qianmo forms show FORM
forms-show-about = version { $version }; { $kind }
forms-show-feeds = feeds the indicators: { $indicators }
forms-show-rows = { $min } to { $max } rows
forms-show-hint = hint: { $rule }
forms-show-choices = choices: { $rule }
forms-show-required-when = required when: { $rule }
forms-show-relevant = asked when: { $rule }
forms-show-range = range: { $rule }
forms-show-constraint = constraint: { $rule }
forms-show-warning = warns when: { $rule }
forms-show-message = says: { $rule }
forms-show-indicators = feeds: { $rule }
forms-mark-required = required
forms-mark-personal = personal
forms-mark-hidden = hidden
forms-check-form = { $file }: form { $id }, { $count } fields, no fault
forms-check-list = { $file }: list { $id }, { $count } choices, no fault
forms-check-overlay = { $file }: changes { $id }, which then has { $count } entries, no fault
forms-check-shipped-name = {"  "}in an organisation's folder its id has to begin with { $prefix }
forms-check-failed = { $count } faults in { $files } files
next-forms-check = change what the → lines say, then check again
error-forms-faulty = the folder of forms { $folder } has { $count } faults; nothing was opened
next-forms-faulty = see every fault and what to do: qianmo forms check { $folder }

bundle-exporting = Exporting …
bundle-exported = Exported to { $file }: { $packs } packs, { $size }
bundle-passphrase = Passphrase: { $passphrase }
bundle-next-tablet = It is shown this once: say it in person. On the other tablet: qianmo bundle import FILE
bundle-next-hub = Only the hub can open it. Carry it there: qianmo-server bundle import FILE. Until then everything still shows as waiting.
bundle-ask = Passphrase:{" "}
bundle-importing = Importing …
bundle-imported = Imported: news in { $records } records; { $packs } new packs, { $known } known, { $control } new control entries
bundle-not-for-us = { $count } packs are of logbooks this device may not keep, and were not taken
bundle-refused = A pack was not taken: { $why }
error-bundle-nothing = nothing waits for the hub, so there is nothing to carry
next-bundle-nothing = to carry all there is, add --what everything
error-bundle-no-key = this device does not know the hub's key yet
next-bundle-no-key = sync once over a network, then export
error-bundle-file = this file cannot be imported, or only a part of it
next-bundle-file = what came before the fault is kept; copy it again or have it exported again, and import it once more
error-bundle-for-hub = this file is for the hub, and only the hub can open it
next-bundle-for-hub = carry it to the hub: qianmo-server bundle import FILE
error-bundle-passphrase = that is not the passphrase
next-bundle-passphrase = type it as it was shown at the export; capitals and dashes do not matter
