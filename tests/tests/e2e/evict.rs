//! Freeing a month on a tablet: only when the hub's backups have it, and back again whole.

use crate::office::Hub;

#[test]
fn old_month_goes_when_a_backup_of_the_hub_has_it_and_comes_back_when_wanted() {
    let hub = Hub::start();
    let tablet = hub.tablet("P01");
    let record = tablet.visit("将被移走的月份");
    let early = tablet.run(&["evict", "--before", "2199-01"]).refused();
    assert!(early.err.contains("qianmo sync"), "{early:#?}");
    let backup = tempfile::tempdir().unwrap();
    let back_up = || hub.run(&["backup", "--to", backup.path().join("b").to_str().unwrap()]).ok();
    tablet.sync().ok();
    // The hub shows that it has all of it; a later backup has it, too; and the tablet hears of that.
    tablet.sync().ok();
    back_up();
    tablet.sync().ok();
    back_up();
    tablet.sync().ok();
    let done = tablet.run(&["evict", "--before", "2199-01", "--json"]).ok().json();
    let gone = done["evicted"][0].as_str().unwrap().to_owned();
    assert!(gone.starts_with("ST01/") && done["kept"].as_array().unwrap().is_empty(), "{done}");
    assert_eq!(tablet.run(&["evict", "--list", "--json"]).ok().json()[0], gone.as_str());
    assert_eq!(tablet.run(&["list", "--json"]).ok().json().as_array().unwrap().len(), 0);

    tablet.run(&["bring-back", &gone]).ok();
    tablet.sync().ok();
    assert_eq!(tablet.show(&record)["fields"]["content"], "将被移走的月份");
}
