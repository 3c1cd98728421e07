//! Review from the command line: a coordinator's queue and decisions, an author's answer.

use serde_json::Value;

use super::office::{Hub, Tablet};

fn coordinator(hub: &Hub) -> Tablet {
    let tablet = Tablet::new();
    tablet.run(&["enroll", &hub.ticket("C01", "coordinator")]).ok();
    tablet
}

fn queue(tablet: &Tablet) -> Vec<Value> {
    tablet.run(&["review", "--json"]).ok().json().as_array().unwrap().clone()
}

#[test]
fn coordinator_returns_and_approves_from_the_command_line_and_the_author_answers() {
    let hub = Hub::start();
    let author = hub.tablet("P01");
    let desk = coordinator(&hub);
    let first = author.visit("查看套袋情况");
    let second = author.visit("查看疏果情况,进度约八成");
    author.sync().ok();
    desk.sync().ok();
    let waiting = queue(&desk);
    assert_eq!(waiting.len(), 2, "{waiting:#?}");
    assert_eq!(waiting[0]["record"], first.as_str(), "the oldest comes first");

    let refused = desk.run(&["review", "return", &first, "--reason", "nonsense"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.err.contains("no_detail"), "the reasons are listed: {refused:#?}");
    let field = ["--field", "content=which plot, how far?"];
    desk.run(&["review", "return", &first, "--reason", "evidence_insufficient", field[0], field[1]]).ok();
    let listed = desk.run(&["review", "approve", "--all"]).ok();
    assert!(listed.err.contains("--yes"), "nothing is approved unasked: {listed:#?}");
    assert_eq!(queue(&desk).len(), 1);
    let approved = desk.run(&["review", "approve", "--all", "--yes", "--json"]).ok().json();
    assert_eq!(approved["approved"], serde_json::json!([second]), "{approved:#}");
    assert!(queue(&desk).is_empty());
    desk.sync().ok();

    author.sync().ok();
    let shown = author.show(&first);
    assert_eq!(shown["review"], "returned", "{shown:#}");
    assert!(shown["reviews"].to_string().contains("which plot, how far?"), "{shown:#}");
    assert_eq!(author.show(&second)["review"], "approved");
    let told = author.run(&["review", "approve", &first]);
    assert_ne!(told.code, Some(0), "a technician decides nothing: {told:#?}");
    author.run(&["edit", &first, "--set", "content=东侧地块套袋六成,周五前完成"]).ok();
    author.run(&["review", "comment", &first, "改好了,请再看"]).ok();
    author.run(&["edit", &second, "--set", "advice=下周复查"]).ok();
    author.sync().ok();

    desk.sync().ok();
    let again: Vec<Value> = queue(&desk);
    let ids: Vec<&str> = again.iter().map(|row| row["record"].as_str().unwrap()).collect();
    assert_eq!(ids, [first.as_str(), second.as_str()], "handed in again, and changed after approval");
    assert_eq!(again[1]["changed_after_approval"], true, "{again:#?}");
    desk.run(&["review", "reopen", &second, "--note", "changed"]).ok();
    assert_eq!(desk.show(&second)["review"], "pending");
    author.run(&["review", "withdraw", &first, "--reason", "duplicate"]).ok();
    assert_eq!(author.show(&first)["review"], "withdrawn");
}
