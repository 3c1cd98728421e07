//! A real hub and real tablets over loopback QUIC, for figures that need the wire: datagram bytes, handshake included.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use qianmo_client_core::{ClientConfig, FieldClient, RecordDraft, Schedule, SyncReport};
use qianmo_protocol::control::{Role, Scope};
use qianmo_protocol::handshake::Address;
use qianmo_protocol::ids::Code;
use qianmo_protocol::time::UnixMillis;
use qianmo_server::admin::{InitOrder, init};
use qianmo_server::config::ServerConfig;
use qianmo_server::registry::{TicketGrant, TicketOrder};
use qianmo_server::server::{Server, ServerHandle, StartOptions};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// How long one step may take.
const STEP: Duration = Duration::from_secs(60);

/// A name of each figure and its values: a tablet's first sync, the day's work, and nothing to do.
///
/// # Errors
/// When a step does not do what it must.
pub async fn figures(seed: u64, records: usize) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let folder = tempfile::tempdir()?;
    let (handle, quic, running) = hub(folder.path(), seed).await?;
    let grant = TicketGrant { role: Role::Technician, scope: Scope::Stations(BTreeSet::from([Code::new("ST01")?])) };
    let tablet = tablet(&handle, quic, &folder.path().join("tablet"), ("P01", grant)).await?;
    let mut figures = vec![("quic_first_sync", values(&sync(&tablet).await?))];
    for number in 0..records {
        let visit = RecordDraft::new("visit")
            .with("activity_date", "2025-06-18")
            .with("service_mode", "onsite")
            .with("staff_id", "P01")
            .with("target_name", format!("样例农户{number:03}"))
            .with("town_code", "110117105")
            .with("content", format!("第{number}户,查看套袋情况,进度过半,果面有轻微药斑"));
        tablet.create(visit).await.context("a record was not saved")?;
    }
    let day = sync(&tablet).await?;
    ensure!(day.waiting == 0 && day.refused.is_empty(), "the hub did not take everything: {day:?}");
    figures.push(("quic_push", values(&day)));
    figures.push(("quic_nothing_to_do", values(&sync(&tablet).await?)));
    tablet.close().await?;
    handle.shutdown();
    running.await??;
    Ok(figures)
}

/// A sync that leaves nothing to do.
pub(crate) async fn sync(tablet: &FieldClient) -> anyhow::Result<SyncReport> {
    let report = tablet.sync_now(STEP).await?;
    ensure!(report.complete, "the sync did not end: {report:?}");
    Ok(report)
}

fn values(report: &SyncReport) -> Value {
    json!({
        "records_up": report.records_up,
        "round_trips_after_connect": report.round_trips,
        "message_bytes_up": report.stream_up,
        "message_bytes_down": report.stream_down,
        "udp_bytes_up": report.udp_up,
        "udp_bytes_down": report.udp_down,
        "wall_ms": report.duration.as_millis(),
    })
}

pub(crate) type Running = tokio::task::JoinHandle<Result<(), qianmo_server::server::RunError>>;

/// A running hub with its store in a folder.
pub(crate) async fn hub(folder: &Path, seed: u64) -> anyhow::Result<(ServerHandle, SocketAddr, Running)> {
    let mut config = ServerConfig { data_dir: folder.join("hub"), ..ServerConfig::default() };
    "样例区推广站".clone_into(&mut config.organisation.name);
    config.quic.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.web.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.limits.disk_reserve_bytes = 0;
    let organisation = config.organisation.name.clone();
    let order = InitOrder { dir: config.data_dir.clone(), organisation, admin: Code::new("A01")?, password: None };
    init(&order, wall_clock()?, StdRng::seed_from_u64(seed))?;
    let server = Server::bind(&config, StartOptions::default()).await?;
    let (handle, quic) = (server.handle(), server.quic_address());
    Ok((handle, quic, tokio::spawn(server.run())))
}

/// An enrolled tablet of one person, with its store in a folder.
pub(crate) async fn tablet(
    handle: &ServerHandle,
    quic: SocketAddr,
    folder: &Path,
    (person, grant): (&str, TicketGrant),
) -> anyhow::Result<FieldClient> {
    let order = TicketOrder {
        station: Code::new("ST01")?,
        persons: BTreeSet::from([Code::new(person)?]),
        grant: Some(grant),
        replaces: None,
        hours: 1,
        addresses: vec![Address::new(&quic.to_string())?],
    };
    let ticket = handle.hub().run(move |core, now| core.issue_ticket(now, &order)).await??;
    let mut config = ClientConfig::new(folder);
    config.schedule = Schedule::Manual;
    let client = FieldClient::open(config).await?;
    client.enroll(&ticket.to_string()).await?;
    Ok(client)
}

fn wall_clock() -> anyhow::Result<UnixMillis> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(UnixMillis(i64::try_from(since.as_millis())?))
}
