//! Copied tablets and old images: both branches are merged, nothing is lost, and people are told what to do.

use crate::office::{Hub, Tablet};

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}

/// Every tablet has these records, and the hub as many.
fn all_have(hub: &Hub, tablets: &[&Tablet], contents: &[String]) {
    for tablet in tablets {
        assert_eq!(tablet.contents(), contents);
    }
    assert_eq!(hub.records(), contents.len());
}

/// It says in both languages that its data was copied, since when, and what to do.
fn tells_of_the_copy(tablet: &Tablet) {
    let english = tablet.run(&["status", "--lang", "en"]).ok().out;
    assert!(english.contains("was copied") && english.contains("noticed 20"), "{english}");
    assert!(english.contains("qianmo enroll TICKET") && english.contains("old image"), "{english}");
    let chinese = tablet.run(&["status", "--lang", "zh"]).ok().out;
    assert!(chinese.contains("被复制过") && chinese.contains("发现"), "{chinese}");
    assert!(chinese.contains("qianmo enroll 票") && chinese.contains("旧镜像"), "{chinese}");
    let status = tablet.status();
    assert!(status["copied"]["at_ms"].as_i64().unwrap() <= status["copied"]["last_ms"].as_i64().unwrap(), "{status:#}");
}

#[test]
fn three_clones_that_all_write_are_merged_within_two_syncs_each_and_one_enrols_anew() {
    let hub = Hub::start();
    let first = hub.tablet("P01");
    let common = first.visit("大家都有的一条");
    first.sync().ok();
    let (second, third) = (first.cloned(), first.cloned());
    let tablets = [&first, &second, &third];
    let mut contents = vec!["大家都有的一条".to_owned()];
    for (number, tablet) in tablets.iter().enumerate() {
        for round in 0..2 {
            let content = format!("第{number}台第{round}条");
            tablet.visit(&content);
            contents.push(content);
        }
        tablet.run(&["edit", &common, "--set", &format!("advice=第{number}台的话")]).ok();
    }
    let contents = sorted(contents);
    for _ in 0..2 {
        tablets.iter().for_each(|tablet| drop(tablet.sync().ok()));
    }
    all_have(&hub, &tablets, &contents);
    for tablet in tablets {
        let shown = tablet.show(&common);
        let said = shown["open_conflicts"].to_string();
        assert!((0..3).all(|number| said.contains(&format!("第{number}台的话"))), "{shown:#}");
        tells_of_the_copy(tablet);
    }
    let device = first.device();
    assert_eq!(hub.devices()[&device]["copied"], true);
    assert!(hub.run(&["devices"]).ok().out.contains("qianmo enroll TICKET"));

    // One of them becomes a device of its own, over its store; the others go on.
    second.run(&["enroll", &hub.ticket("P01", "technician")]).ok();
    assert_ne!(second.device(), device);
    assert!(second.status()["copied"].is_null());
    let mut contents = contents;
    for (number, tablet) in tablets.iter().enumerate() {
        let content = format!("后来第{number}台");
        let record = tablet.visit(&content);
        contents.push(content);
        tablet.sync().ok();
        assert_eq!(tablet.delivery(&record), "acknowledged");
    }
    tablets.iter().for_each(|tablet| drop(tablet.sync().ok()));
    all_have(&hub, &tablets, &sorted(contents));
    assert_eq!(hub.devices()[&device]["standing"], "active");
    hub.run(&["verify"]).ok();
}

#[test]
fn old_image_over_a_newer_tablet_gets_its_own_records_back_and_says_what_an_image_lacks() {
    let hub = Hub::start();
    let (tablet, other) = (hub.tablet("P01"), hub.tablet("P02"));
    tablet.visit("镜像之前");
    tablet.sync().ok();
    let image = tablet.cloned();
    let later = tablet.visit("镜像之后,已送达");
    tablet.run(&["edit", &later, "--set", "advice=再补一句"]).ok();
    tablet.sync().ok();
    tablet.run(&["new", "visit", "--draft", "--set", "content=镜像之后的草稿"]).ok();
    let receipt = tablet.delivery(&later);
    assert_eq!(receipt, "acknowledged");

    tablet.return_to(&image);
    let fresh = tablet.visit("恢复之后写的");
    for _ in 0..2 {
        tablet.sync().ok();
    }
    other.sync().ok();
    let contents = sorted(["镜像之前", "镜像之后,已送达", "恢复之后写的"].map(str::to_owned).to_vec());
    all_have(&hub, &[&tablet, &other], &contents);
    assert_eq!(tablet.delivery(&fresh), "acknowledged");
    assert_eq!(tablet.show(&later)["fields"]["advice"], "再补一句");
    assert_ne!(tablet.delivery(&later), "waiting", "the hub has it, and nobody says otherwise");
    tells_of_the_copy(&tablet);
    assert!(tablet.run(&["status"]).ok().out.contains("drafts, and what the other copy has not sent"));
    assert!(tablet.run(&["drafts", "--json"]).ok().json().as_array().unwrap().is_empty());
    // It goes on as any other.
    tablet.run(&["edit", &later, "--set", "advice=又改了"]).ok();
    tablet.sync().ok();
    assert_eq!(tablet.delivery(&later), "acknowledged");
    other.sync().ok();
    assert_eq!(other.show(&later)["fields"]["advice"], "又改了");
    assert!(other.show(&later)["open_conflicts"].as_array().is_none_or(Vec::is_empty));
}

#[test]
fn branch_that_only_an_offline_peer_holds_comes_back_to_the_restored_tablet_and_the_restored_hub() {
    let mut hub = Hub::start();
    let (tablet, peer) = (hub.tablet("P01"), hub.tablet("P02"));
    tablet.visit("最早的一条");
    tablet.sync().ok();
    let image = tablet.cloned();
    hub.back_up("early");
    let newer = tablet.visit("只有同事那里还有的一条");
    tablet.sync().ok();
    peer.sync().ok();
    // The hub and the tablet both go back in time; the peer was away.
    hub.lose_and_restore("lost", "early");
    tablet.return_to(&image);
    tablet.visit("恢复之后写的");
    tablet.sync().ok();
    assert_eq!(hub.records(), 2);
    peer.sync().ok();
    hub.run(&["confirm", "--all"]).ok();
    for _ in 0..2 {
        tablet.sync().ok();
        peer.sync().ok();
    }
    let contents = sorted(["最早的一条", "只有同事那里还有的一条", "恢复之后写的"].map(str::to_owned).to_vec());
    all_have(&hub, &[&tablet, &peer], &contents);
    assert_ne!(tablet.delivery(&newer), "waiting");
    tells_of_the_copy(&tablet);
    hub.run(&["verify"]).ok();
}

#[test]
fn clone_that_only_wrote_after_the_other_is_noticed_by_both() {
    let hub = Hub::start();
    let first = hub.tablet("P01");
    first.visit("复制之前");
    first.sync().ok();
    let second = first.cloned();
    // They take turns, so nothing ever stands at the same place.
    first.visit("第一台");
    first.sync().ok();
    second.sync().ok();
    second.visit("第二台");
    second.sync().ok();
    first.sync().ok();
    let contents = sorted(["复制之前", "第一台", "第二台"].map(str::to_owned).to_vec());
    all_have(&hub, &[&first, &second], &contents);
    tells_of_the_copy(&second);
    tells_of_the_copy(&first);
}

#[test]
fn evicted_and_brought_back_month_is_no_sign_of_a_copy() {
    let hub = Hub::start();
    let tablet = hub.tablet("P01");
    tablet.visit("会移走再取回");
    for _ in 0..2 {
        tablet.sync().ok();
    }
    for _ in 0..2 {
        hub.back_up("backup");
        tablet.sync().ok();
    }
    let done = tablet.run(&["evict", "--before", "2199-01", "--json"]).ok().json();
    tablet.run(&["bring-back", done["evicted"][0].as_str().unwrap()]).ok();
    tablet.sync().ok();
    assert_eq!(tablet.contents(), ["会移走再取回"]);
    assert!(tablet.status()["copied"].is_null());
}

#[test]
fn revoked_device_with_a_clone_loses_nothing_of_either_and_the_honest_one_enrols_anew() {
    let hub = Hub::start();
    let (honest, other) = (hub.tablet("P01"), hub.tablet("P02"));
    honest.visit("复制之前");
    honest.sync().ok();
    let stolen = honest.cloned();
    honest.visit("本人写的,还没送");
    stolen.visit("另一份上写的");
    let device = honest.device();
    hub.run(&["revoke", &device, "--reason", "copied"]).ok();
    for tablet in [&stolen, &honest] {
        let told = tablet.sync();
        assert!((told.out + &told.err).contains("revoked"));
    }
    // Both are here, held, and neither is shown.
    assert_eq!(hub.records(), 1);
    let held = hub.run(&["release", "--json"]).ok().json();
    assert!(held.as_array().unwrap().len() >= 2, "{held:#}");
    hub.run(&["release", "--device", &device]).ok();
    assert_eq!(hub.records(), 3);
    honest.run(&["enroll", &hub.ticket("P01", "technician")]).ok();
    let record = honest.visit("重新登记之后写的");
    for tablet in [&honest, &other, &honest] {
        tablet.sync().ok();
    }
    assert_eq!(honest.delivery(&record), "acknowledged");
    let contents =
        sorted(["复制之前", "本人写的,还没送", "另一份上写的", "重新登记之后写的"].map(str::to_owned).to_vec());
    all_have(&hub, &[&honest, &other], &contents);
    let told = stolen.sync();
    assert!((told.out + &told.err).contains("revoked"), "the copy stays out");
}

#[test]
fn folder_copied_while_a_sync_is_under_way_opens_and_loses_nothing() {
    let hub = Hub::start();
    let first = hub.tablet("P01");
    let mut contents = Vec::new();
    for round in 0..4 {
        for number in 0..3 {
            let content = format!("第{round}轮第{number}条");
            first.visit(&content);
            contents.push(content);
        }
        let mut running = first.spawn(&["sync", "--timeout", "30"]);
        std::thread::sleep(std::time::Duration::from_millis(15 * round));
        let clone = first.cloned();
        assert!(running.wait().unwrap().success());
        let content = format!("第{round}份拷贝写的");
        clone.visit(&content);
        contents.push(content);
        for _ in 0..2 {
            clone.sync().ok();
            first.sync().ok();
        }
        all_have(&hub, &[&first, &clone], &sorted(contents.clone()));
    }
    hub.run(&["verify"]).ok();
}
