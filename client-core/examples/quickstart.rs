//! One tablet from ticket to receipt: enrol, write a visit, sync, read it back.
//!
//! ```text
//! cargo run -p qianmo-client-core --example quickstart -- <folder> <ticket>
//! ```
//! The ticket comes from the hub's administrator. Without one the tablet works all the same, and keeps a draft.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::time::Duration;

use qianmo_client_core::{ClientConfig, DraftInput, FieldClient, RecordDraft, RecordFilter, Schedule};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        println!("usage: quickstart <folder> [ticket]");
        println!("  <folder>  where this tablet keeps everything; made if it is not there");
        println!(
            "  [ticket]  QM1-…, from the hub's administrator; only the first time, and in quotes if it has spaces"
        );
        return Ok(());
    };
    let config = ClientConfig::new(folder).label("quickstart").schedule(Schedule::Manual);
    let client = FieldClient::open(config).await?;
    if let (None, Some(ticket)) = (client.whoami()?, arguments.next()) {
        println!("enrolled for station {}", client.enroll(&ticket).await?);
    }
    match client.whoami()? {
        Some(me) => {
            println!("device {} of {}, {} writes", me.device, me.org_name, me.person.as_deref().unwrap_or("nobody"));
            write_and_sync(&client, me.person.as_deref().unwrap_or_default()).await?;
        }
        None => keep_a_draft(&client).await?,
    }
    client.close().await?;
    Ok(())
}

async fn keep_a_draft(client: &FieldClient) -> Result<(), Box<dyn Error>> {
    let mut input = DraftInput { form: "visit".to_owned(), ..DraftInput::default() };
    input.fields.insert("content".to_owned(), "写到一半,断电也不丢".into());
    client.save_draft(client.new_draft(), input).await?;
    println!("not enrolled yet: kept a draft, {} in all. Give a ticket to go on.", client.drafts()?.len());
    Ok(())
}

async fn write_and_sync(client: &FieldClient, person: &str) -> Result<(), Box<dyn Error>> {
    let visit = RecordDraft::new("visit")
        .with("service_mode", "现场")
        .with("activity_date", "2025-06-18")
        .with("staff_id", person)
        .with("target_name", "刘店镇果园")
        .with("town_code", "110117104")
        .with("crop_id", "桃树")
        .with("content", "查看套袋情况,梨小零星发生,约定复查");
    let record = client.create(visit).await?;
    println!("record {record} is safe on this device; {} wait for the hub", client.status().waiting);
    match client.sync_now(Duration::from_secs(20)).await {
        Ok(report) => println!(
            "{} up, {} down in {} round trips and {} bytes; {} acknowledged",
            report.records_up,
            report.records_down,
            report.round_trips,
            report.udp_up + report.udp_down,
            report.acknowledged,
        ),
        Err(error) => println!("no sync now ({error}); nothing is lost, it is sent next time"),
    }
    for row in client.records(RecordFilter { limit: 5, ..RecordFilter::default() })?.rows {
        println!("{}  {}  {:?}  {:?}", row.id, row.logbook, row.review, row.delivery);
    }
    Ok(())
}
