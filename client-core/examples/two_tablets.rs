//! Two tablets of one station change one field without knowing of each other; nothing is overwritten, one person settles.
//!
//! ```text
//! cargo run -p qianmo-client-core --example two_tablets -- <folder> <ticket of the one> <ticket of the other>
//! ```
//! The tickets come from the hub's administrator; both are for technicians of the same station.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use qianmo_client_core::{
    ClientConfig, ConflictChoice, FieldClient, FieldEdit, Keep, RecordDraft, RecordId, Schedule, SyncReport,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tickets @ ..] = arguments.as_slice() else {
        println!("usage: two_tablets <folder> <ticket of the one> <ticket of the other>");
        println!("  ask the hub's administrator for two tickets of one station; later runs need none");
        return Ok(());
    };
    let folder = Path::new(folder);
    let tablet_a = open(&folder.join("a"), tickets.first()).await?;
    let tablet_b = open(&folder.join("b"), tickets.get(1)).await?;
    let (Some(a), Some(b)) = (tablet_a, tablet_b) else {
        println!("both tablets need a ticket the first time");
        return Ok(());
    };
    meet(&a, &b).await?;
    a.close().await?;
    b.close().await?;
    Ok(())
}

async fn open(folder: &Path, ticket: Option<&String>) -> Outcome<Option<FieldClient>> {
    let client = FieldClient::open(ClientConfig::new(folder).schedule(Schedule::Manual)).await?;
    if client.whoami()?.is_none() {
        let Some(ticket) = ticket else { return Ok(None) };
        client.enroll(ticket).await?;
    }
    Ok(Some(client))
}

async fn sync(name: &str, client: &FieldClient) -> Outcome<SyncReport> {
    let report = client.sync_now(Duration::from_secs(20)).await?;
    println!(
        "{name}: {} up, {} down, {} new conflicts, {} round trips, {} bytes",
        report.records_up,
        report.records_down,
        report.conflicts_new,
        report.round_trips,
        report.udp_up + report.udp_down
    );
    Ok(report)
}

async fn advise(client: &FieldClient, record: RecordId, advice: &str) -> Outcome<()> {
    let view = client.record(record)?.ok_or("the record has not arrived")?;
    client.edit(record, view.row.version, vec![FieldEdit::set("advice", advice)]).await?;
    Ok(())
}

async fn meet(a: &FieldClient, b: &FieldClient) -> Outcome<()> {
    let person = a.whoami()?.and_then(|me| me.person).ok_or("nobody works on the first tablet")?;
    let visit = RecordDraft::new("visit")
        .with("service_mode", "现场")
        .with("activity_date", "2025-06-18")
        .with("staff_id", person)
        .with("target_name", "刘店镇果园")
        .with("town_code", "110117104")
        .with("content", "查看套袋情况,梨小零星发生");
    let record = a.create(visit).await?;
    sync("a", a).await?;
    sync("b", b).await?;
    // Both without a network now.
    advise(a, record, "三天后复查诱捕器").await?;
    advise(b, record, "一周后复查诱捕器").await?;
    sync("a", a).await?;
    sync("b", b).await?;
    sync("a", a).await?;
    let conflicts = a.conflicts(record)?;
    let Some(conflict) = conflicts.first() else { return Err("the conflict is not shown".into()) };
    println!("{} was written twice:", conflict.path);
    for candidate in &conflict.candidates {
        println!("  {:?} by {}", candidate.value, candidate.person.as_deref().unwrap_or("?"));
    }
    let keep = Keep::Value("三天后先复查一次,一周后再查".into());
    a.resolve(record, conflict.path.clone(), ConflictChoice { version: conflict.version.clone(), keep }).await?;
    sync("a", a).await?;
    sync("b", b).await?;
    let settled = b.record(record)?.ok_or("the record is gone")?;
    println!("settled on both: {:?}, {} conflicts left", settled.row.fields.get("advice"), settled.conflicts.len());
    let same = a.diagnostics()?.state_digests == b.diagnostics()?.state_digests;
    println!("states are {}", if same { "equal" } else { "different" });
    Ok(())
}
