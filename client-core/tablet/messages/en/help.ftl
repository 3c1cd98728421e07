help-about = Qianmo: records of work in the field, with or without a network. Written here; qianmo sync brings them to the hub.
help-examples =
    Examples:
      qianmo enroll QM1-…            make this device one of your organisation's, once, with a ticket
      qianmo new visit               write a visit, question by question; save a draft any time
      qianmo list                    records on this device, and where they are
      qianmo show 1a2b3c4d           one record: answers, review, conflicts, history
      qianmo sync                    exchange with the hub

    An id may be cut to its first digits, four at least.

    Data folder: --data, else QIANMO_DATA, else ~/.local/share/qianmo (%APPDATA%\qianmo on Windows).
    Language: --lang, else LC_ALL, LC_MESSAGES, LANG (Chinese if it begins with zh).

    Exit codes:
      0  done
      1  failed here: the store, a file, a record that is not here
      2  the command was not understood
      3  the device is not enrolled
      4  the hub cannot be reached; what was saved is kept, sync later
      5  the form or the hub does not accept it
help-heading-usage = Usage:
help-heading-commands = Commands
help-heading-arguments = Arguments
help-heading-options = Options

help-data = Data folder; one program at a time
help-lang = Language: zh or en
help-verbose = Say more about what happens (-vv even more), on standard error
help-help = Show help
help-version = Show the version

help-any-json = Write JSON, for programs
help-any-record = A record's id, or its beginning (four digits at least)
help-any-set = Answer a field; may be repeated. The field by name or label: --set service_mode=onsite
help-any-station = A station's code
help-any-month = A month, such as 2025-06
help-any-form = A form by name or label, such as visit
help-any-id = A draft's id, or its beginning (four digits at least)
help-any-at = The version you looked at (version in show --json); the change is written against it

help-ui = Open the tablet's pages: write, look and sync in the browser; only this machine can
help-ui-port = The port; if not given, the system chooses
help-ui-no-open = Give the address only, and open no browser
help-ui-examples =
    Examples:
      qianmo ui
      qianmo ui --port 7440 --no-open

    The address is another at every start, and for this machine only. Ctrl-C ends it; what was saved is kept.

help-enroll = Make this device one of your organisation's, with a ticket
help-enroll-ticket = The administrator's ticket; - reads it from the input and keeps it out of the shell's history
help-enroll-label = What to call this device, such as “tablet three”; the machine's name if not given
help-enroll-examples =
    Examples:
      qianmo enroll QM1-…
      qianmo enroll - --label "tablet three"

    Needs a network, once. A ticket works once; ask for a new one if it has expired. If the hub was out of reach, try the same ticket again.

help-new = Write a new record
help-new-form = A form by name or label; without it the forms are listed
help-new-draft = Save a draft only
help-new-station = The station it belongs to; this device's if not given
help-new-person = Who writes (a code); whoever uses this device if not given
help-new-month = The month it belongs to, for late entries; the present one if not given
help-new-examples =
    Examples:
      qianmo new visit
      qianmo new visit --draft
      qianmo new visit --set service_mode=onsite --set "target_name=Zhang farm" --set town_code=110117105 --set "content=Checked the bagging"

    Question by question: Enter leaves out what is optional; :save leaves a draft, :back goes back, :help shows the rest.
    Each answer is saved at once and survives a power cut. With --set nothing is asked: the date is today, the recorder whoever uses this device.

help-drafts = List drafts; they are on this device only and never sent
help-drafts-examples =
    Examples:
      qianmo drafts
      qianmo drafts resume 9f3c
      qianmo drafts discard 9f3c
help-drafts-resume = Go on with a draft
help-drafts-resume-examples =
    Examples:
      qianmo drafts resume 9f3c
help-drafts-discard = Throw a draft away
help-drafts-discard-examples =
    Examples:
      qianmo drafts discard 9f3c

help-edit = Change a record
help-edit-examples =
    Examples:
      qianmo edit 1a2b3c4d
      qianmo edit 1a2b3c4d --set satisfaction=5 --set follow_up_on=2025-06-25

    Without --set it asks, with the present answer in brackets; Enter keeps it.
    The change is written against the version you saw: if someone else changed the same field, both values are kept as a conflict.
    A record that was returned is handed in again.

help-list = List the records on this device, newest first
help-list-state = Only in one state: waiting, held, conflict, unsubmitted, pending, approved, returned, withdrawn, disagreed
help-list-limit = At most this many
help-list-examples =
    Examples:
      qianmo list
      qianmo list --state returned
      qianmo list --month 2025-06 --form visit --json

help-show = Show everything about a record: answers, where it is, review, conflicts, history
help-show-examples =
    Examples:
      qianmo show 1a2b3c4d
      qianmo show 1a2b3c4d --json

help-resolve = Settle a conflict: decide which value stands
help-resolve-field = The field in conflict, by name or label; may be left out if there is one conflict
help-resolve-keep = Keep the value with this number
help-resolve-value = Keep none of them but this value
help-resolve-examples =
    Examples:
      qianmo resolve 1a2b3c4d
      qianmo resolve 1a2b3c4d content --keep 2
      qianmo resolve 1a2b3c4d area_seen_mu --value 3.5

    Without --keep or --value the values are listed. Those that are not kept stay in the history.

help-review = Review: see what waits, approve, return, reopen; also submit, withdraw, comment
help-review-limit = List at most this many
help-review-examples =
    Examples:
      qianmo review                                   what waits, oldest first
      qianmo review approve 1a2b3c4d 5e6f7a8b
      qianmo review approve --all --month 2025-06     lists them; add --yes to approve
      qianmo review return 1a2b3c4d --reason no_detail --note "which plot?"

    A decision is about the version you saw. If the record changes later it shows “changed after approval”: look again.
help-review-approve = Approve one record, several, or with --all every pending one without a conflict
help-review-approve-records = Records, by id or its start
help-review-approve-all = Every pending record without a conflict (with --station, --month, --form if you like)
help-review-approve-yes = Do approve; without it they are only listed
help-review-approve-examples =
    Examples:
      qianmo review approve 1a2b3c4d
      qianmo review approve --all --station ST01 --month 2025-06 --yes
help-review-return = Send a record back, with reasons
help-review-return-reason = A reason, by code or words; may be repeated; qianmo review reasons lists them
help-review-return-examples =
    Examples:
      qianmo review return 1a2b3c4d --reason no_detail
      qianmo review return 1a2b3c4d --reason area_suspect --field "area_mu=please check"
help-review-reopen = Open a decided record again
help-review-reopen-examples =
    Examples:
      qianmo review reopen 1a2b3c4d --note "figures were wrong"
help-review-submit = Hand a record in for review
help-review-submit-examples =
    Examples:
      qianmo review submit 1a2b3c4d
help-review-withdraw = Withdraw a record: shown and counted no more, its history stays
help-review-withdraw-reason = A reason code, such as duplicate
help-review-withdraw-examples =
    Examples:
      qianmo review withdraw 1a2b3c4d --reason duplicate
help-review-comment = Say something; the review state stays as it is
help-review-comment-text = What you say
help-review-comment-examples =
    Examples:
      qianmo review comment 1a2b3c4d "check the date of bagging"
      qianmo review comment 1a2b3c4d --field "advice=please add"
help-review-reasons = List the reasons for sending a record back
help-review-reasons-examples =
    Examples:
      qianmo review reasons
help-any-note = A note
help-any-field = A note on one field, may be repeated, such as --field "content=which plot?"

help-sync = Exchange with the hub: send what waits, receive what is new
help-sync-watch = Stay connected and say what comes and goes; Ctrl-C ends it
help-sync-timeout = Wait at most this many seconds (60 if not given; no limit with --watch)
help-sync-examples =
    Examples:
      qianmo sync
      qianmo sync --timeout 300
      qianmo sync --watch

    No connection is no harm: everything is kept here and goes out the next time, once.

help-status = Whose device this is, what has not arrived, and whether all is well
help-status-examples =
    Examples:
      qianmo status
      qianmo status --json

help-bundle = Sync through a file where there is no network
help-bundle-examples =
    Examples:
      qianmo bundle export --to hub /media/usb/st01.qmb
      qianmo bundle import /media/usb/st02.qmb
help-bundle-export = Export to a file: only the hub can open one for the hub; one for a tablet opens with the passphrase shown
help-bundle-export-to = for whom: hub, or tablet for another tablet
help-bundle-export-what = what to carry: waiting for the hub, all of this station, or everything here; if not given, waiting for the hub and station for a tablet
help-bundle-export-file = where to write it
help-bundle-export-examples =
    Examples:
      qianmo bundle export --to hub /media/usb/st01.qmb
      qianmo bundle export --to tablet /media/usb/st01.qmb
help-bundle-import = Take in a file that another tablet exported; doing it again is harmless
help-bundle-import-file = the file
help-bundle-import-passphrase = the passphrase that was shown at the export; asked for if not given
help-bundle-import-examples =
    Examples:
      qianmo bundle import /media/usb/st01.qmb

help-evict = Free space on this device: let go of old months; they can be brought back at any time
help-evict-logbooks = Logbooks such as ST01/2025-06; one goes only when the hub and its backup have all of it
help-evict-before = All logbooks of months before this one
help-evict-list = List the logbooks that were let go of
help-evict-examples =
    Examples:
      qianmo evict ST01/2025-06
      qianmo evict --before 2025-01
      qianmo evict --list
help-bring-back = Bring back logbooks that were let go of: the next sync fetches them whole
help-bring-back-logbooks = Logbooks; see qianmo evict --list
help-bring-back-examples =
    Examples:
      qianmo bring-back ST01/2025-06

help-export = Write records to a file
help-export-to = Write to this file; standard output if not given
help-export-format = json or csv; by the file's name if not given, else json
help-export-with-personal = With personal data (names, phones, exact positions); left out if not given
help-export-examples =
    Examples:
      qianmo export --to june.csv --month 2025-06
      qianmo export --format json --form visit

    A CSV opens in any spreadsheet; text that looks like a formula gets an apostrophe and is not run.

help-forms = See the forms and what they ask; check form files
help-forms-with = the organisation's own folder of forms; otherwise QIANMO_FORMS, otherwise `forms` in the data folder
help-forms-examples =
    Examples:
      qianmo forms                            the forms, and how many fields each has
      qianmo forms show demo                  every field and rule of a form, in both languages
      qianmo forms check soil.toml            check a form that someone wrote; every fault is explained
      qianmo forms check /etc/qianmo/forms    check a whole folder: forms, lists, overlays

    Needs no enrolment and opens no data. How to write a form: docs/forms.md.
help-forms-show = Show every field, type and rule of a form
help-forms-show-examples =
    Examples:
      qianmo forms show visit
      qianmo forms show Demonstration --json
help-forms-check = Check forms, lists and overlays: every fault, and what to do about it
help-forms-check-files = files or folders to check; several may be named, so that a list is checked with the form that uses it
help-forms-check-examples =
    Examples:
      qianmo forms check soil.toml lists/texture.toml
      qianmo forms check /etc/qianmo/forms --json

    Ends with 5 if there is a fault.
