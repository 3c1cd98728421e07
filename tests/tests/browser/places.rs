//! The tablets' page, and the page of complaints: what is done there, and who hears of it.

use serde_json::json;

use super::browser::{DESKTOP, TABLET};
use super::desk::{begin, quiet};
use super::hostile::MARKUP;
use super::office::{Hub, Tablet};
use super::page::{Faults, Page, look};
use super::room::play;

#[test]
fn tablet_is_enrolled_with_the_ticket_on_the_page_and_cut_off_from_there() {
    play("fleet", async |room| {
        let hub = Hub::start();
        let browser = room.browser(hub.web, DESKTOP).await;
        let mut faults = Faults::default();
        begin(&browser, &hub, "C01").await;
        browser.press("nav.places a[href='/fleet']").await;
        browser.sees("还没有平板").await;
        look(&browser, &Page::new("fleet-none", ""), "zh-CN", DESKTOP, &mut faults).await;
        browser.click("登记新平板").await;
        browser.fill("station", "ST01").await;
        browser.fill("person", "P02").await;
        browser.fill("label", "东站一号").await;
        browser.click("开票").await;
        browser.sees("票只在这一页显示一次").await;
        for size in [DESKTOP, TABLET] {
            browser.resize(size).await;
            look(&browser, &Page::new("fleet-ticket", ""), "zh-CN", size, &mut faults).await;
        }
        assert_eq!(browser.count("svg.code").await, 1);
        let command = browser.find(".ticket-text code").await.text().await.unwrap();
        let tablet = Tablet::new();
        tablet.run(&["enroll", command.strip_prefix("qianmo enroll ").unwrap()]).ok();
        tablet.visit("查看疏果情况");
        tablet.sync().ok();
        browser.click("完成").await;
        browser.sees("东站一号").await;
        browser.sees("P02").await;
        look(&browser, &Page::new("fleet-one", ""), "zh-CN", TABLET, &mut faults).await;
        browser.click("停用…").await;
        browser.sees("停用这台设备？").await;
        look(&browser, &Page::new("fleet-revoke-one", ""), "zh-CN", TABLET, &mut faults).await;
        browser.press("main form button").await;
        browser.sees("设备已停用").await;
        let told = tablet.sync();
        assert!(format!("{told:?}").to_lowercase().contains("revoked"), "the tablet is told: {told:?}");
        quiet(&browser, &[]).await;
        faults.none();
    });
}

#[test]
fn complaint_without_an_account_is_answered_and_the_answer_found_by_its_code() {
    play("complaint", async |room| {
        let hub = Hub::start();
        let (farmer, office) = (room.browser(hub.web, TABLET).await, room.browser(hub.web, DESKTOP).await);
        let mut faults = Faults::default();
        farmer.go("/").await;
        farmer.click("投诉建议").await;
        farmer.press("input[value=suggestion]").await;
        farmer.fill("text", &format!("请周末也安排人。电话13800138000 {MARKUP}")).await;
        farmer.click("提交").await;
        farmer.sees("收到了，谢谢您").await;
        look(&farmer, &Page::new("complaint-sent", ""), "zh-CN", TABLET, &mut faults).await;
        let code = farmer.find(".ticket-text code").await.text().await.unwrap();

        begin(&office, &hub, "C01").await;
        office.go("/complaints").await;
        office.sees("请周末也安排人").await;
        office.sees("<script>window.hacked=1</script>").await;
        office.sees_not("13800138000").await;
        look(&office, &Page::new("complaint-read", ""), "zh-CN", DESKTOP, &mut faults).await;
        // Looking has opened it.
        office.find("details textarea").await.send_keys("下月起周六有人值班。").await.unwrap();
        office.press("details form button").await;
        office.sees("已答复").await;

        farmer.go("/complaints").await;
        farmer.fill("code", &code).await;
        farmer.click("查看").await;
        farmer.sees("下月起周六有人值班").await;
        look(&farmer, &Page::new("complaint-answered", ""), "zh-CN", TABLET, &mut faults).await;
        farmer.fill("code", "没有这个编号").await;
        farmer.click("查看").await;
        farmer.sees("没有这个编号，请核对后再查").await;
        farmer.sees_not("下月起周六有人值班").await;
        for browser in [&farmer, &office] {
            assert_eq!(browser.run("return window.hacked ?? 0").await, json!(0));
        }
        quiet(&office, &[]).await;
        faults.none();
    });
}
