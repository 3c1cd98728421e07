//! Personal data by who looks: names and positions for those who review the station, whole numbers only when asked for.

use qianmo_protocol::control::{Role as GrantRole, Scope};
use qianmo_protocol::ids::Code;

use crate::find::sample;
use crate::fleet::employ;
use crate::office::Office;
use crate::signed::{Browser, give_account};
use crate::world::station;

/// What only reviewers may see.
const PERSONAL: [&str; 5] = ["王小明家", "东沟老王", "40.163245", "117.108712", "138****5678"];
const WHOLE: [&str; 2] = ["13812345678", "13987654321"];

/// An office with a coordinator of the district (C01), of the station (C02) and of another (C03), a technician (P01), an
/// administrator (A01), and a coordinator whose password somebody else knows (C04).
async fn office(seed: u64) -> (Office, String) {
    let mut sample = sample(seed, 0);
    let world = &mut sample.world;
    let at = |code: &str| Scope::Stations([Code::new(code).unwrap()].into());
    employ(world, "C02", GrantRole::Coordinator, Scope::Stations([station()].into()));
    employ(world, "C03", GrantRole::Coordinator, at("ST99"));
    employ(world, "A01", GrantRole::Admin, Scope::District);
    employ(world, "C04", GrantRole::Coordinator, Scope::District);
    for person in ["C01", "P01"] {
        give_account(world, person, false);
    }
    let code = Code::new("C04").unwrap();
    world.core.change_account(&code, |account| account.must_change = true).unwrap();
    (Office::open(sample.world).await, format!("/records/{}", sample.target))
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_positions_are_shown_to_who_reviews_the_station_and_to_nobody_else() {
    let (office, record) = office(611).await;
    for (person, sees) in [("C01", true), ("C02", true), ("A01", true), ("C03", false), ("P01", false), ("C04", false)]
    {
        let browser = Browser::signed_in(&office, person).await;
        let page = browser.get(&record).await.body;
        for word in PERSONAL {
            assert_eq!(page.contains(word), sees, "{person} {word}: {page}");
        }
        for (address, word) in
            [("/targets/T012", "王小明家"), ("/find?q=wangxiaoming", "王小明家"), ("/", "<b>王小明家</b>")]
        {
            let body = browser.get(address).await.body;
            assert_eq!(body.contains(word), sees, "{person} {address}: {body}");
        }
        for whole in WHOLE {
            assert!(!page.contains(whole), "{person} {whole}");
        }
        assert_eq!(page.contains("您审核的站点显示姓名和位置"), person != "P01" && person != "C04", "{person}");
        // What programs get is masked whoever is signed in.
        let id = record.trim_start_matches("/records/");
        let told = browser.get(&format!("/api/v1/records/{id}")).await.body;
        assert!(!PERSONAL.iter().chain(&WHOLE).any(|word| told.contains(word)), "{person}: {told}");
    }
    let visitor = office.get(&record).await.body;
    assert!(!PERSONAL.iter().any(|word| visitor.contains(word)) && visitor.contains("40.16"), "{visitor}");
    assert!(office.get("/").await.body.contains("<b>T012</b>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_number_is_shown_once_when_asked_for_and_the_administrator_reads_who_asked() {
    let (office, record) = office(612).await;
    let numbers = format!("{record}/numbers");
    let mut browser = Browser::signed_in(&office, "C02").await;
    let page = browser.get(&record).await.body;
    assert!(page.contains("显示完整号码") && page.contains(&format!("action=\"{numbers}\"")), "{page}");
    let csrf = browser.csrf.clone();
    let shown = browser.post(&numbers, &[("csrf", &csrf)]).await;
    assert_eq!(shown.status, 200);
    assert!(shown.body.contains("13812345678") && shown.body.contains("这次查看已记下"), "{}", shown.body);
    assert!(shown.header("cache-control").unwrap().contains("no-store"), "no copy stays in the browser");
    // The page is masked again, also at the address of the form.
    let back = browser.get(&numbers).await;
    assert_eq!((back.status, back.header("location")), (303, Some(record.as_str())));
    assert!(!browser.get(&record).await.body.contains("13812345678"));

    let admin = Browser::signed_in(&office, "A01").await;
    let list = admin.get("/fleet/numbers").await.body;
    let short: String = record.trim_start_matches("/records/").chars().take(12).collect();
    assert!(list.contains(&short) && list.contains("C02") && list.matches("<tr>").count() == 2, "{list}");
    let english = admin.get("/fleet/numbers?lang=en").await.body;
    assert!(english.contains("Who saw whole numbers") && !english.contains("谁看过"), "{english}");
    assert_eq!(browser.get("/fleet/numbers").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_number_is_refused_to_others_and_without_the_token_and_nothing_is_written_down() {
    let (office, record) = office(613).await;
    let numbers = format!("{record}/numbers");
    for person in ["C03", "P01", "C04"] {
        let mut browser = Browser::signed_in(&office, person).await;
        assert!(!browser.get(&record).await.body.contains("显示完整号码"), "{person}");
        let csrf = browser.csrf.clone();
        let answer = browser.post(&numbers, &[("csrf", &csrf)]).await;
        assert!(answer.status == 403 || answer.status == 303, "{person} {}", answer.status);
        assert!(!answer.body.contains("13812345678"), "{person}");
    }
    let mut browser = Browser::signed_in(&office, "C02").await;
    assert_eq!(browser.post(&numbers, &[("csrf", "0")]).await.status, 403);
    let admin = Browser::signed_in(&office, "A01").await;
    assert!(admin.get("/fleet/numbers").await.body.contains("还没有人看过"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_numbers_is_listed_in_pages_newest_first_and_outlives_a_restart() {
    let mut sample = sample(614, 0);
    employ(&mut sample.world, "A01", GrantRole::Admin, Scope::District);
    let person = Code::new("C01").unwrap();
    for _ in 0..53 {
        let now = sample.world.now();
        sample.world.core.disclose(now, &person, sample.target).unwrap();
    }
    sample.world.restart().unwrap();
    let (rows, next) = sample.world.core.disclosures(None).unwrap();
    assert_eq!((rows.len(), next), (50, Some(3)));
    assert!(rows.windows(2).all(|pair| pair[0].at > pair[1].at));
    assert_eq!(sample.world.core.disclosures(next).unwrap().0.len(), 3);
    assert_eq!(sample.world.core.disclosures(Some(0)).unwrap(), (Vec::new(), None));
    let office = Office::open(sample.world).await;
    let admin = Browser::signed_in(&office, "A01").await;
    let first = admin.get("/fleet/numbers").await.body;
    assert!(first.contains("/fleet/numbers?cursor=3"), "{first}");
    assert_eq!(admin.get("/fleet/numbers?cursor=3").await.body.matches("<tr>").count(), 4);
    assert_eq!(admin.get("/fleet/numbers?cursor=x").await.status, 400);
}
