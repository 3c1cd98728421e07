//! The JSON API.

use qianmo_protocol::control::{Decision, Purge, PurgeTarget};
use serde_json::{Value, json};

use crate::office::{Office, sample};
use crate::world::june;

fn ids(page: &Value) -> Vec<String> {
    page["records"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_filtered_and_paged_to_the_end() {
    let sample = sample(1, 5);
    let (conflict, approved, changed) = (sample.conflict, sample.approved, sample.changed);
    let office = Office::open(sample.world).await;
    let all = office.get("/api/v1/records").await.json();
    assert_eq!((ids(&all).len(), &all["next"]), (11, &Value::Null));
    let mut paged = Vec::new();
    let mut path = "/api/v1/records?limit=2".to_owned();
    loop {
        let page = office.get(&path).await.json();
        paged.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/records?limit=2&cursor={next}");
    }
    assert_eq!(paged, ids(&all), "each once, in one order");
    for (query, expected) in [
        ("month=2025-06", 6),
        ("month=2025-05&station=ST01", 5),
        ("station=ST02", 0),
        ("form=visit", 11),
        ("form=training", 0),
        ("state=returned", 1),
        ("state=disagreed", 1),
        ("conflicts=true", 1),
        ("conflicts=false", 11),
        ("changed=true", 1),
        ("state=approved", 2),
        ("text=%E9%9C%9C%E9%9C%89", 1),
        ("text=%E9%9C%9C%E9%9C%89&state=pending", 0),
        ("text=%E5%A2%92%E6%83%85", 5),
        ("text=13812345678", 0),
        ("text=%E7%8E%8B%E8%BE%9B%E5%BA%84%22%20OR%20%22", 0),
    ] {
        let page = office.get(&format!("/api/v1/records?{query}")).await.json();
        assert_eq!(ids(&page).len(), expected, "{query}");
    }
    let only = |page: &Value| page["records"][0].clone();
    let one = only(&office.get("/api/v1/records?conflicts=true").await.json());
    assert_eq!((&one["id"], &one["conflicts"]), (&json!(conflict.to_string()), &json!(1)));
    assert_eq!((&one["state"], &one["state_zh"]), (&json!("pending"), &json!("待审")));
    assert_eq!((&one["station"], &one["month"], &one["form"]), (&json!("ST01"), &json!("2025-06"), &json!("visit")));
    assert_eq!((&one["fields"]["target_name"], &one["fields"]["lat"]), (&json!("•••"), &json!("40.16")));
    let one = only(&office.get("/api/v1/records?changed=true").await.json());
    assert_eq!((&one["id"], &one["changed_after_approval"]), (&json!(changed.to_string()), &json!(true)));
    let two = ids(&office.get("/api/v1/records?state=approved").await.json());
    assert!(two.contains(&approved.to_string()) && two.contains(&changed.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_kept_brings_what_changed_and_what_is_gone() {
    let sample = sample(2, 2);
    let (org, erased) = (sample.world.org(), sample.plain[0]);
    let office = Office::open(sample.world).await;
    let first = office.get("/api/v1/records").await.json();
    let cursor = first["cursor"].as_str().unwrap().to_owned();
    let since = |cursor: String| format!("/api/v1/records?cursor={cursor}");
    assert!(ids(&office.get(&since(cursor.clone())).await.json()).is_empty());
    let target = PurgeTarget::Document { doc: erased, logbook: june().id(&org) };
    let purge = Decision::Purge(Purge { target, reason: 1, is_standing: false, memory: None });
    office.hub.run(move |core, now| core.decide(now, vec![purge])).await.unwrap().unwrap();
    // The read model follows at the end of a batch: what comes in the next one finds it there.
    office.hub.run(|_, _| ()).await.unwrap();
    let page = office.get(&since(cursor)).await.json();
    assert_eq!(page["records"], json!([{ "id": erased.to_string(), "gone": true }]));
    assert_eq!(office.get(&format!("/api/v1/records/{erased}")).await.status, 404);
    assert_eq!(ids(&office.get("/api/v1/records").await.json()).len(), 7, "a newcomer is not told what never was");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_named_in_two_languages() {
    let office = Office::open(sample(3, 0).world).await;
    for (query, code, parameter) in [
        ("month=2025-13", "wrong_value", "month"),
        ("month=June", "wrong_value", "month"),
        ("state=done", "wrong_value", "state"),
        ("limit=0", "wrong_value", "limit"),
        ("limit=501", "wrong_value", "limit"),
        ("limit=-1", "wrong_value", "limit"),
        ("conflicts=maybe", "wrong_value", "conflicts"),
        ("cursor=nonsense", "wrong_value", "cursor"),
        ("station=%E4%B8%80", "wrong_value", "station"),
        ("statoin=ST01", "unknown_parameter", "statoin"),
        ("state=pending&state=pending", "twice_given", "state"),
    ] {
        let answer = office.get(&format!("/api/v1/records?{query}")).await;
        let error = answer.json()["error"].clone();
        assert_eq!(
            (answer.status, &error["code"], &error["parameter"]),
            (400, &json!(code), &json!(parameter)),
            "{query}"
        );
        assert!(error["message_zh"].as_str().unwrap().contains(parameter), "{error}");
        assert!(error["message_en"].as_str().unwrap().contains(parameter), "{error}");
    }
    let cursor = office.get("/api/v1/records").await.json()["cursor"].as_str().unwrap().to_owned();
    let bytes = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).unwrap();
    let other = data_encoding::BASE64URL_NOPAD.encode(&[&[0; 16], &bytes[16..]].concat());
    let answer = office.get(&format!("/api/v1/records?cursor={other}")).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (410, &json!("cursor_gone")));
    for path in ["/api/v1/records/00", "/api/v1/records/00112233445566778899aabbccddeeff", "/api/v1/nothing"] {
        let answer = office.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"]["message_zh"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_tells_answers_conflicts_history_and_reviews_masked() {
    let sample = sample(4, 0);
    let (conflict, returned, script) = (sample.conflict, sample.returned, sample.script);
    let office = Office::open(sample.world).await;
    let answer = office.get(&format!("/api/v1/records/{conflict}")).await;
    assert!(!answer.body.contains("王小明") && !answer.body.contains("40.163") && !answer.body.contains("117.108"));
    let record = answer.json();
    let answers = record["answers"].as_array().unwrap();
    let area = answers.iter().find(|answer| answer["name"] == "area_seen_mu").unwrap();
    assert_eq!((&area["value"], &area["label_zh"], &area["unit_zh"]), (&json!("15"), &json!("查看面积"), &json!("亩")));
    let target = answers.iter().find(|answer| answer["name"] == "target_name").unwrap();
    assert_eq!((&target["value"], &target["masked"]), (&json!("•••"), &json!(true)));
    let [only] = record["conflict_list"].as_array().unwrap().as_slice() else { panic!("one conflict") };
    assert_eq!(
        (&only["path"], &only["kind"], &only["label_en"]),
        (&json!("content"), &json!("concurrent"), &json!("What was done"))
    );
    let mut persons: Vec<&str> =
        only["candidates"].as_array().unwrap().iter().map(|one| one["person"].as_str().unwrap()).collect();
    persons.sort_unstable();
    assert_eq!(persons, ["P01", "P02"]);
    assert!(only["candidates"][0]["time"].as_str().unwrap().ends_with("+08:00"));
    let history = record["history"].as_array().unwrap();
    assert_eq!(history.len(), 5);
    assert!(history.iter().all(|one| one["device"].is_string() && one["device_label"] == "平板"));
    let edit =
        history.iter().flat_map(|one| one["edits"].as_array().unwrap()).find(|edit| edit["after"] == "15").unwrap();
    assert_eq!((&edit["path"], &edit["before"]), (&json!("area_seen_mu"), &json!("12.5")));
    assert_eq!(record["reviews"][0]["kind"], "submit");
    assert_eq!(record["held"], json!([]));

    let record = office.get(&format!("/api/v1/records/{returned}")).await.json();
    assert_eq!((&record["state"], record["reviews"].as_array().unwrap().len()), (&json!("returned"), 2));
    let record = office.get(&format!("/api/v1/records/{script}")).await.json();
    assert!(record["fields"]["content"].as_str().unwrap().contains("138****5678"));
    assert_eq!(office.get(&format!("/api/v1/records/{script}?x=1")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_count_what_was_approved_as_it_was_approved() {
    let office = Office::open(sample(7, 5).world).await;
    let told = office.get("/api/v1/stats").await.json();
    assert_eq!(told["year"], json!(2025));
    let accepted = &told["accepted_aggregates"];
    assert_eq!(accepted["records"], json!(11));
    assert_eq!(
        accepted["by_review_state"],
        json!({ "approved": 2, "pending": 8, "returned": 1 }),
        "disagreed is pending"
    );
    assert_eq!(accepted["by_crop"]["pear"], json!(1));
    let approved = &told["approved_aggregates"];
    assert_eq!(approved["by_crop"], json!({ "peach": 2 }), "what was changed after approval does not count yet");
    assert_eq!((&approved["satisfaction_n"], &approved["satisfaction_avg"]), (&json!(2), &json!(5.0)));
    assert_eq!((&approved["distinct_targets"], &approved["photo_count_sum"]), (&json!(1), &json!(6)));
    assert_eq!(told["approved_task_completion"], json!({}));

    let may = office.get("/api/v1/stats?year=2025&month=2025-05").await.json();
    assert_eq!(may["accepted_aggregates"]["records"], json!(5));
    assert_eq!(office.get("/api/v1/stats?year=2024").await.json()["accepted_aggregates"]["records"], json!(0));
    for wrong in ["year=25", "year=twenty", "state=approved", "text=%E6%A1%83"] {
        assert_eq!(office.get(&format!("/api/v1/stats?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logbooks_and_health_say_what_the_hub_holds() {
    let office = Office::open(sample(5, 3).world).await;
    let told = office.get("/api/v1/logbooks").await.json();
    let logbooks = told["logbooks"].as_array().unwrap();
    let of = |name: &str| logbooks.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!((&of("ST01/2025-06")["records"], &of("ST01/2025-05")["records"]), (&json!(6), &json!(3)));
    for logbook in logbooks {
        for digest in ["vector_digest", "state_digest"] {
            assert!(logbook[digest].as_str().is_some_and(|text| text.len() >= 16), "{logbook}");
        }
    }
    let health = office.get("/healthz").await;
    let told = health.json();
    assert_eq!((health.status, &told["status"], &told["read_model_is_current"]), (200, &json!("ok"), &json!(true)));
    assert_eq!(told["devices"], json!({ "enrolled": 5, "revoked": 0, "connected": 0 }));
    assert!(told["commit"].as_u64().unwrap() > 0 && told["epoch"].is_string() && told["watermark"] == 0);
    let metrics = office.get("/metrics").await;
    assert!(metrics.body.contains("qianmo_hub_commit "), "{}", metrics.body);
}
