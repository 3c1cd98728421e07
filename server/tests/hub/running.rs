//! A whole hub: bound to ports, over real loopback QUIC and HTTP.

use std::path::Path;
use std::time::Duration;

use qianmo_protocol::ids::Code;
use qianmo_server::admin::{InitOrder, init};
use qianmo_server::config::ServerConfig;
use qianmo_server::server::wall_clock;
use qianmo_server::{BindError, RunError, Server, StartOptions};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn config(dir: &Path) -> ServerConfig {
    let order = InitOrder {
        dir: dir.to_owned(),
        organisation: "<b>样例</b>".to_owned(),
        admin: Code::new("ADMIN").unwrap(),
        password: None,
    };
    init(&order, wall_clock(), StdRng::seed_from_u64(1)).unwrap();
    let mut config = ServerConfig { data_dir: dir.to_owned(), ..ServerConfig::default() };
    config.quic.listen = "127.0.0.1:0".parse().unwrap();
    config.web.listen = "127.0.0.1:0".parse().unwrap();
    config.limits.disk_reserve_bytes = 0;
    config
}

async fn get(address: std::net::SocketAddr, path: &str, host: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_hub_serves_its_pages_and_stops_when_told() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(&parent.path().join("hub"));
    let server = Server::bind(&config, StartOptions::default()).await.unwrap();
    let (web, handle) = (server.web_address(), server.handle());
    assert_ne!((server.quic_address().port(), web.port()), (0, 0));
    assert_eq!(handle.ticket_addresses().len(), 1);
    let running = tokio::spawn(server.run());

    for (path, host, expected) in [
        ("/", "127.0.0.1", 200),
        ("/healthz", "localhost", 200),
        ("/metrics", "localhost", 200),
        ("/api/v1/records", "localhost", 200),
        ("/etc/passwd", "localhost", 404),
    ] {
        assert_eq!(get(web, path, host).await.0, expected, "{path} at {host}");
    }
    assert_ne!(get(web, "/", "evil.example").await.0, 200, "a page elsewhere that points its name here gets nothing");
    let (_, body) = get(web, "/healthz", "localhost").await;
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["status"], "ok");

    let report = handle.backup(parent.path().join("backup"), None).await.unwrap();
    assert!(report.commit > 0);
    let verified = handle.verify().await.unwrap();
    assert!(verified.is_sound() && verified.states_compared, "{verified:?}");
    handle.shutdown();
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
    // It lets go of everything: the same folder and ports serve again.
    let mut same = config;
    same.web.listen = web;
    let again = Server::bind(&same, StartOptions::default()).await.unwrap();
    again.handle().shutdown();
    again.run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_port_and_folder_in_use_are_named() {
    let parent = tempfile::tempdir().unwrap();
    let mut config = config(&parent.path().join("hub"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.web.listen = taken.local_addr().unwrap();
    let refused = Server::bind(&config, StartOptions::default()).await.unwrap_err();
    assert!(matches!(refused, BindError::PortInUse { what: "TCP", key: "web.listen", .. }), "{refused}");

    config.web.listen = "127.0.0.1:0".parse().unwrap();
    let server = wait_for(|| Server::bind(&config, StartOptions::default())).await;
    let refused = Server::bind(&config, StartOptions::default()).await.unwrap_err();
    let chain = error_chain(&refused);
    assert!(chain.contains("another process holds this store"), "{chain}");
    server.handle().shutdown();
    server.run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_on_the_hubs_thread_ends_the_hub_and_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(&parent.path().join("hub"));
    let server = Server::bind(&config, StartOptions::default()).await.unwrap();
    let hub = server.handle().hub().clone();
    let running = tokio::spawn(server.run());
    let answer = hub.run(|_, _| -> () { panic!("a fault of our own") }).await;
    assert!(answer.is_err());
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
    assert!(matches!(ended, Err(RunError::Panicked)), "{ended:?}");
}

/// The hub thread of a bind that failed lets go of the folder a moment later.
async fn wait_for<F: Future<Output = Result<Server, BindError>>>(bind: impl Fn() -> F) -> Server {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match bind().await {
            Ok(server) => return server,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{}", error_chain(&error)),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
