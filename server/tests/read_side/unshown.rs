//! Changes that count and that this version of the hub cannot show (A2).

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::record::{AuthoredChange, FieldEdit, FieldPath, edit};
use qianmo_server::hub::ReleaseOrder;
use serde_json::json;

use crate::gate_support::Forged;
use crate::office::Office;
use crate::world::{World, june};

/// The gate's code for a message that is no resolve.
const CODE_MESSAGE: u16 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn record_page_and_api_say_how_many_changes_this_version_cannot_show() {
    let mut world = World::new(71);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "读得懂的");
    let origin = world.origin(&tablet_a);
    let document = tablet_a.replica.document(&visit).unwrap().unwrap();
    let edits = [FieldEdit::Set(FieldPath::Field("content".to_owned()), Scalar::Text("读不懂的".to_owned()))];
    let honest = edit(&document, &document.heads(), &origin, &edits).unwrap().unwrap();
    let mut forged = Forged::from(&honest.change);
    forged.message = "a later version says more".to_owned();
    let change = forged.change();
    let hash = change.hash();
    tablet_a.replica.write(&june(), &[(visit, AuthoredChange { change })], None).unwrap();
    tablet_a.replica.sync().unwrap();
    world.meet(&mut tablet_a);
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Code(CODE_MESSAGE)).unwrap();

    let office = Office::open(world).await;
    let record = office.get(&format!("/api/v1/records/{visit}")).await.json();
    assert_eq!(record["unshown"], json!([hash.to_string()]));
    assert_eq!((&record["held"], &record["held_here"]), (&json!([]), &json!([])));
    assert_eq!(record["fields"]["content"], "读得懂的");
    let page = office.get(&format!("/records/{visit}")).await;
    assert!(page.body.contains("此版本无法显示的改动 <small>1</small>") && page.body.contains("请升级管理端"));
    let page = office.get(&format!("/records/{visit}?lang=en")).await;
    assert!(page.body.contains("Changes this version cannot show") && page.body.contains("Update the hub"));
}

/// A record of which even the first change is of a later version: it has its row, and says what it is.
#[tokio::test(flavor = "multi_thread")]
async fn record_whose_first_change_cannot_be_read_has_its_row_and_says_to_update() {
    let mut world = World::new(72);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let known = world.file(&mut tablet_a, "读得懂的");
    let root = tablet_a.replica.document(&known).unwrap().unwrap().changes().next().unwrap().clone();
    let mut forged = Forged::from(&root);
    let form = forged.rows.iter_mut().find(|row| row.key == "f").unwrap();
    form.value = "2031年的表单".as_bytes().to_vec();
    let change = forged.change();
    let doc = change.doc_id_if_root().unwrap();
    tablet_a.replica.write(&june(), &[(doc, AuthoredChange { change })], None).unwrap();
    tablet_a.replica.sync().unwrap();
    world.meet(&mut tablet_a);
    let held = world.core.held().unwrap();
    assert_eq!(held.iter().map(|row| row.doc).collect::<Vec<_>>(), [Some(doc)]);
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Id(held[0].id.clone())).unwrap();

    let office = Office::open(world).await;
    let listed = office.get("/api/v1/records?state=unreadable").await.json();
    let rows = listed["records"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{listed}");
    assert_eq!((&rows[0]["id"], &rows[0]["logbook"]), (&json!(doc.to_string()), &json!("ST01/2025-06")));
    assert_eq!((&rows[0]["gone"], &rows[0]["state_zh"]), (&json!(false), &json!("此版本无法显示")));
    let page = office.get("/").await;
    assert!(page.body.contains("此版本无法显示") && page.body.contains(&doc.to_string()));
    let record = office.get(&format!("/api/v1/records/{doc}")).await;
    assert_eq!(record.json()["error"]["code"], "unreadable");
    let page = office.get(&format!("/records/{doc}")).await;
    assert!(page.body.contains("此版本无法显示这条记录") && page.body.contains("请升级管理端"));
    assert_eq!(office.get(&format!("/api/v1/records/{known}")).await.json()["gone"], false);
}
