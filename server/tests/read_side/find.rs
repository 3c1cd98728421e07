//! One box over everything, and timelines, as a browser gets them.

use std::collections::BTreeMap;

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::ids::{Code, DocId, LogbookName};
use qianmo_protocol::record::{RecordRoot, create};

use crate::office::{Office, file, visit};
use crate::world::{Tablet, World, june, station};

/// Lists an entry in a directory.
pub(crate) fn enter(world: &mut World, tablet: &mut Tablet, form: &str, answers: &[(&str, &str)]) -> DocId {
    let is_target = form == "target";
    let name = if is_target { LogbookName::StationDirectory(station()) } else { LogbookName::OrgDirectory };
    let origin = world.origin(tablet);
    let root = RecordRoot {
        form: Code::new(form).unwrap(),
        form_version: 1,
        station: is_target.then(station),
        logbook: name.id(&world.org()),
        author: tablet.person.clone(),
        created_at: origin.time,
    };
    let fields = answers.iter().map(|(name, text)| ((*name).to_owned(), Scalar::Text((*text).to_owned())));
    let entry = create(&origin, &root, &fields.collect(), &BTreeMap::new()).unwrap();
    let doc = entry.change.doc_id_if_root().unwrap();
    tablet.replica.write(&name, &[(doc, entry)], None).unwrap();
    tablet.replica.sync().unwrap();
    doc
}

/// Directories, and visits of two people at two targets.
pub(crate) struct Sample {
    pub(crate) world: World,
    pub(crate) target: DocId,
    organisation: DocId,
}

fn about(target: &str, staff: &str) -> [(&'static str, Scalar); 2] {
    [("target_id", Scalar::Text(target.to_owned())), ("staff_id", Scalar::Text(staff.to_owned()))]
}

pub(crate) fn sample(seed: u64, more: usize) -> Sample {
    let mut world = World::new(seed);
    let mut office = world.enrol("C01", GrantRole::Coordinator);
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    let target = enter(
        &mut world,
        &mut office,
        "target",
        &[
            ("code", "T012"),
            ("name", "王小明家"),
            ("aliases", "东沟老王"),
            ("kind", "household"),
            ("main_crops", "peach"),
            ("town_code", "110117105"),
            ("lat", "40.163245"),
            ("lon", "117.108712"),
            ("contact_name", "王小明"),
            ("contact_phone", "13812345678"),
        ],
    );
    enter(&mut world, &mut office, "target", &[("code", "T013"), ("name", "李家"), ("main_crops", "chestnut")]);
    let phone = ("phone", "13987654321");
    enter(&mut world, &mut office, "staff", &[("code", "P01"), ("name", "吕桑遥"), ("role", "technician"), phone]);
    enter(&mut world, &mut office, "staff", &[("code", "P02"), ("name", "单长乐"), ("specialties", "植保")]);
    enter(&mut world, &mut office, "station", &[("code", "ST01"), ("name", "样例·大华山大桃科技小院")]);
    let hostile = "<script>alert(1)</script>果品社";
    let organisation = enter(&mut world, &mut office, "organisation", &[("code", "O01"), ("name", hostile)]);
    let mut visits = |day, content: &str, target: &str, staff: &str| {
        let mut answers = visit(day, "peach", content, "");
        answers.retain(|(name, _)| *name != "staff_id");
        answers.extend(about(target, staff));
        file(&mut world, &mut tablet, &june(), &answers)
    };
    // A ledger brought in names its targets by document, a tablet without the directory by code.
    visits(3, "红蜘蛛轻发，约二十亩", &target.to_string(), "P01");
    visits(9, "山楂叶螨上升", "T012", "P01");
    visits(5, "梨小折梢，3月挂迷向丝", "T012", "P02");
    visits(4, "栗园除草", "T013", "P02");
    for number in 0..more {
        visits(1, &format!("第{number}次，梨小监测"), "T012", "P02");
    }
    for tablet in [&mut office, &mut tablet] {
        world.meet(tablet);
    }
    Sample { world, target, organisation }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn found(office: &Office, typed: &str) -> String {
    let page = office.get(&format!("/find?q={}", encoded(typed))).await;
    assert_eq!(page.status, 200, "{typed}");
    page.body
}

/// The results of one group: what stands between its heading and the next.
fn group<'a>(body: &'a str, title: &str) -> Option<&'a str> {
    body.split("<section class=\"found\">").skip(1).find(|group| group.contains(&format!("<h2>{title}</h2>")))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_box_finds_everything_by_words_names_sounds_and_codes() {
    let sample = sample(401, 0);
    let (target, organisation) = (sample.target, sample.organisation);
    let office = Office::open(sample.world).await;
    for (typed, title, link) in [
        ("T012", "服务对象", "href=\"/targets/T012\""),
        ("ｔ０１２", "服务对象", "href=\"/targets/T012\""),
        ("大华山", "服务对象", "href=\"/targets/T012\""),
        ("dahuashan", "服务对象", "href=\"/targets/T012\""),
        ("dhs 桃", "服务对象", "href=\"/targets/T012\""),
        ("栗子", "服务对象", "href=\"/targets/T013\""),
        ("吕桑遥", "人员", "href=\"/people/P01\""),
        ("lvsangyao", "人员", "href=\"/people/P01\""),
        ("lsy", "人员", "href=\"/people/P01\""),
        ("shanchangle", "人员", "href=\"/people/P02\""),
        ("danchangle", "人员", "href=\"/people/P02\""),
        ("zhibao", "人员", "href=\"/people/P02\""),
        ("科技小院", "工作站", "href=\"/?station=ST01\""),
        ("kjxy", "工作站", "href=\"/?station=ST01\""),
        ("果品社", "组织", &format!("href=\"/records/{organisation}\"")),
    ] {
        let body = found(&office, typed).await;
        let results = group(&body, title).unwrap_or_else(|| panic!("{typed}: {body}"));
        assert!(results.contains(link), "{typed}: {results}");
        assert!(!body.contains("<script>"));
    }
    for (typed, count) in [
        ("红蜘蛛", "2 条"),
        ("山楂叶螨", "2 条"),
        ("叶螨", "2 条"),
        ("hzz", "2 条"),
        ("hong zhi zhu", "2 条"),
        ("梨小食心虫", "1 条"),
        ("lxsxc", "1 条"),
        ("20亩", "1 条"),
        ("贰拾亩", "1 条"),
        ("３月", "1 条"),
        ("红蜘蛛 轻发", "1 条"),
    ] {
        let body = found(&office, typed).await;
        let records = group(&body, "记录").unwrap_or_else(|| panic!("{typed}: {body}"));
        assert!(records.contains(count), "{typed}: {records}");
        // The list of records understands the same words.
        let list = office.get(&format!("/?text={}", encoded(typed))).await.body;
        assert!(list.contains(&format!("class=\"total\">{count}")), "{typed}");
    }
    assert!(found(&office, "hzz").await.contains("山楂叶螨"), "it says what else it looked for");
    let body = found(&office, &target.to_string()[..6]).await;
    assert!(!body.contains("/targets/"), "a document's id is no name");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_masks_hide_is_not_found_and_not_shown() {
    let office = Office::open(sample(402, 0).world).await;
    for typed in ["王小明", "wangxiaoming", "wxm", "东沟老王", "13812345678", "13987654321", "138", "5678"] {
        let body = found(&office, typed).await;
        assert!(body.contains("没有找到") && body.contains("请用对象编号"), "{typed}: {body}");
        assert!(!body.contains("/targets/") && !body.contains("/people/"), "{typed}");
    }
    for path in ["/targets/T012", "/people/P01", "/find?q=T012"] {
        let body = office.get(path).await.body;
        for hidden in ["王小明", "东沟老王", "13812345678", "13987654321", "5678"] {
            assert!(!body.contains(hidden), "{hidden} on {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timeline_shows_all_records_about_a_target_newest_day_first_in_pages() {
    let sample = sample(403, 60);
    let target = sample.target;
    let office = Office::open(sample.world).await;
    let page = office.get("/targets/T012").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("63 条") && page.body.contains(&format!("href=\"/records/{target}\"")));
    assert!(page.body.contains("农户 · 大桃") && page.body.contains("待审") && page.body.contains("吕桑遥"));
    let day = |text: &str| page.body.find(text).unwrap();
    assert!(day("山楂叶螨上升") < day("梨小折梢") && day("梨小折梢") < day("红蜘蛛轻发"), "newest day first");
    assert!(!page.body.contains("栗园除草"));
    assert_eq!(page.body.matches("class=\"what\"").count(), 50);
    let next = page.body.split("<a ").find(|tag| tag.contains("rel=\"next\"")).unwrap();
    let next = next.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let second = office.get(next).await.body;
    assert_eq!(second.matches("class=\"what\"").count(), 13);
    assert!(second.contains("rel=\"first\"") && !second.contains("rel=\"next\""));

    let person = office.get("/people/P01").await.body;
    assert!(person.contains("吕桑遥") && person.contains("2 条") && !person.contains("梨小折梢"));
    for path in ["/targets/T999", "/people/nobody", "/targets/%3Cscript%3E"] {
        let missing = office.get(path).await;
        assert_eq!(missing.status, 404, "{path}");
        assert!(!missing.body.contains("<script>"));
    }
    assert_eq!(office.get("/targets/T012?cursor=x").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_long_and_hostile_queries_are_answered_kindly() {
    let office = Office::open(sample(404, 0).world).await;
    let empty = office.get("/find").await;
    assert!(
        empty.status == 200 && empty.body.contains("在一个框里查") && empty.body.contains("aria-current=\"page\">查找")
    );
    let long = office.get(&format!("/find?q={}", "a".repeat(2_000))).await;
    assert!(long.status == 400 && long.body.contains("太长") && long.body.contains("100字"));
    assert!(long.body.len() < 20_000);
    let nothing = office.get(&format!("/find?q={}", encoded("！？ --"))).await;
    assert!(nothing.status == 400 && nothing.body.contains("至少一个汉字"));
    for typed in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' OR 1=1 --",
        "桃\" OR \"栗",
        "NEAR(桃 栗)",
        "chars:桃 *",
        "%_\\",
        "\u{202e}桃",
        "🍑🍑🍑桃",
        "a\0b",
    ] {
        let page = office.get(&format!("/find?q={}", encoded(typed))).await;
        assert!(matches!(page.status, 200 | 400), "{typed}: {}", page.status);
        assert!(!page.body.contains("<script>") && !page.body.contains("<img"), "{typed}");
    }
    for path in ["/find?in=everything&q=a", "/find?page=0&q=a", "/find?page=x&q=a", "/find?x=1", "/find?q=a&q=b"] {
        assert_eq!(office.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn english_pages_have_no_chinese_words_of_ours_and_chinese_ones_no_english() {
    let office = Office::open(sample(405, 0).world).await;
    let is_han = |char: char| ('\u{4e00}'..='\u{9fff}').contains(&char);
    let words =
        |body: &str| body.split("<main id=\"main\">").nth(1).unwrap().split("</main>").next().unwrap().to_owned();
    for path in ["/find?lang=en", "/find?q=zzzz&lang=en", "/find?q=!&lang=en"] {
        let page = words(&office.get(path).await.body);
        assert!(!page.chars().any(is_han), "{path}: {page}");
    }
    let page = words(&office.get("/find?q=T012&lang=en").await.body);
    assert!(
        page.contains("Service targets")
            && page.contains("1 result")
            && page.contains("href=\"/targets/T012?lang=en\"")
    );
    for path in ["/find", "/find?q=zzzz", "/targets/T012"] {
        let page = words(&office.get(path).await.body);
        for english in ["Find", "Nothing", "Records", "newest", "directory"] {
            assert!(!page.contains(english), "{english} on {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_results_of_a_group_are_paged_with_their_count() {
    let mut world = World::new(406);
    let mut office = world.enrol("C01", GrantRole::Coordinator);
    for number in 0..57 {
        enter(&mut world, &mut office, "target", &[("code", &format!("T{number:03}")), ("main_crops", "peach")]);
    }
    world.meet(&mut office);
    let office = Office::open(world).await;
    let body = found(&office, "大桃").await;
    assert!(group(&body, "服务对象").unwrap().contains("57 个"));
    assert_eq!(body.matches("href=\"/targets/").count(), 8);
    let first = office.get(&format!("/find?q={}&in=targets", encoded("大桃"))).await.body;
    assert_eq!(first.matches("href=\"/targets/").count(), 50);
    let second = office.get(&format!("/find?q={}&in=targets&page=2", encoded("大桃"))).await.body;
    assert_eq!(second.matches("href=\"/targets/").count(), 7);
    assert!(!second.contains("rel=\"next\"") && second.contains("返回全部结果"));
}
