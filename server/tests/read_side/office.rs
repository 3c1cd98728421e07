//! A hub with records in it, its pages and API on a loopback port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::handshake::Address;
use qianmo_protocol::ids::{Code, DocId, LogbookName};
use qianmo_protocol::record::{RecordRoot, create};
use qianmo_protocol::review::ReviewKind;
use qianmo_protocol::time::UnixMillis;
use qianmo_server::admin::Folder;
use qianmo_server::hub::{HubHandle, HubThread};
use qianmo_server::metrics::Metrics;
use qianmo_server::projection::{Projection, Projector};
use qianmo_server::web::{BehindProxy, WebState, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::world::{NOW, Tablet, World, june, month, station};

/// A hub that serves.
pub(crate) struct Office {
    pub(crate) hub: HubHandle,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
    stop: watch::Sender<bool>,
    _thread: HubThread,
}

/// What a request was answered with.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The head with its own letters.
    pub(crate) sent: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header of the answer, as it was sent; names are lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.sent.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Office {
    pub(crate) async fn open(world: World) -> Self {
        Box::pin(Self::open_at(world, UnixMillis(NOW + 1_000_000))).await
    }

    /// A hub whose clock stands still there.
    pub(crate) async fn open_at(world: World, now: UnixMillis) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let mut core = world.core;
        let mut projection = Projection::open(&folder.projection(), forms()).unwrap();
        projection.catch_up(&mut core).unwrap();
        let clock = Arc::new(move || now);
        let (hub, thread) = HubHandle::spawn(core, clock, Some(Box::new(Projector::new(projection)))).unwrap();
        let state =
            WebState::new(hub.clone(), &folder, forms(), "平谷<样例>推广站", BehindProxy::No, Metrics::default());
        let state = state.with_reach(vec![Address::new("hub.example.org:4433").unwrap()], None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(serve(listener, state, stopping));
        Self { hub, address, _folder: dir, stop, _thread: thread }
    }

    /// The pages stop, as when the hub is told to.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "127.0.0.1").await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, host: &str) -> Answer {
        self.send(method, path, &[("Host", host)], "").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\n{lines}{length}Connection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), sent: head.to_owned(), body: body.to_owned() }
    }
}

/// The shipped forms.
pub(crate) fn forms() -> Arc<qianmo_forms::FormSet> {
    Arc::new(qianmo_forms::FormSet::built_in().unwrap())
}

/// Files a visit with these answers and hands it in.
pub(crate) fn file(world: &mut World, tablet: &mut Tablet, name: &LogbookName, answers: &[(&str, Scalar)]) -> DocId {
    let origin = world.origin(tablet);
    let root = RecordRoot {
        form: Code::new("visit").unwrap(),
        form_version: 1,
        station: Some(station()),
        logbook: name.id(&world.org()),
        author: tablet.person.clone(),
        created_at: origin.time,
    };
    let fields = answers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let record = create(&origin, &root, &fields, &BTreeMap::new()).unwrap();
    let doc = record.change.doc_id_if_root().unwrap();
    tablet.replica.write(name, &[(doc, record)], None).unwrap();
    tablet.replica.sync().unwrap();
    world.review(tablet, doc, ReviewKind::Submit);
    doc
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.to_owned())
}

/// One visit as it is written in the field.
pub(crate) fn visit(day: u32, crop: &str, content: &str, advice: &str) -> Vec<(&'static str, Scalar)> {
    vec![
        ("service_mode", text("onsite")),
        ("activity_date", text(&format!("2025-06-{day:02}"))),
        ("start_time", text("09:30")),
        ("staff_id", text("P01")),
        ("target_name", text("王小明")),
        ("village_code", text("110117105212")),
        ("lat", text("40.163245")),
        ("lon", text("117.108712")),
        ("crop_id", text(crop)),
        ("area_seen_mu", text("12.5")),
        ("content", text(content)),
        ("advice", text(advice)),
        ("satisfaction", Scalar::Int(5)),
        ("photo_count", Scalar::Int(3)),
    ]
}

/// The records of the sample, by what they show.
pub(crate) struct Sample {
    pub(crate) world: World,
    pub(crate) conflict: DocId,
    pub(crate) approved: DocId,
    pub(crate) returned: DocId,
    pub(crate) changed: DocId,
    pub(crate) disagreed: DocId,
    pub(crate) script: DocId,
    pub(crate) plain: Vec<DocId>,
}

/// Records in every state, with a conflict that two tablets made without knowing of each other.
pub(crate) fn sample(seed: u64, plain: usize) -> Sample {
    let mut world = World::new(seed);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Expert);
    let mut tablet_c = world.enrol("C01", GrantRole::Coordinator);
    let mut tablet_d = world.enrol("C02", GrantRole::Coordinator);
    let mut new = |world: &mut World, day, crop: &str, content: &str, advice: &str| {
        file(world, &mut tablet_a, &june(), &visit(day, crop, content, advice))
    };
    let conflict = new(
        &mut world,
        12,
        "peach",
        "到王辛庄镇桃园查看梨小食心虫越冬代成虫诱捕情况，三块地平均每板14头，比上周多一倍。",
        "本周内挂迷向丝，每亩60根；诱捕器隔日查一次。",
    );
    let approved = new(&mut world, 10, "peach", "指导疏果，每枝留果三到四个。", "盛花后三十天内完成定果。");
    let returned = new(&mut world, 9, "cherry", "看了一下。", "");
    let changed = new(&mut world, 8, "peach", "查看套袋进度，约八成。", "雨前完成套袋。");
    let disagreed = new(&mut world, 7, "grape", "葡萄霜霉病初见，中心病株两处。", "摘除病叶，保持通风。");
    let script = new(
        &mut world,
        6,
        "peach",
        "<script>alert('坏')</script> & \"引号\" 户主电话13812345678",
        "<img src=x onerror=alert(1)>",
    );
    let filler = |number: usize| format!("第{number}次巡田，检查土壤墒情与叶片长势，未见明显异常。");
    let plain: Vec<DocId> = (0..plain)
        .map(|number| file(&mut world, &mut tablet_b, &month(5), &visit(1, "peach", &filler(number), "继续观察。")))
        .collect();
    for tablet in [&mut tablet_a, &mut tablet_b, &mut tablet_c, &mut tablet_d] {
        world.meet(tablet);
    }
    world.edit(&mut tablet_a, conflict, "content", "三块地平均每板14头，比上周多一倍；东边地块最重，已现卵。");
    world.edit(&mut tablet_a, conflict, "area_seen_mu", "15");
    world.edit(&mut tablet_b, conflict, "content", "复核：两块地平均每板9头，未见卵，暂不用药。");
    world.edit(&mut tablet_b, conflict, "remark", "与P01分头查看");
    world.review(&mut tablet_c, approved, ReviewKind::Approve);
    world.review(&mut tablet_c, returned, ReviewKind::Return);
    world.review(&mut tablet_c, changed, ReviewKind::Approve);
    world.review(&mut tablet_c, disagreed, ReviewKind::Approve);
    world.review(&mut tablet_d, disagreed, ReviewKind::Return);
    for tablet in [&mut tablet_c, &mut tablet_d, &mut tablet_a, &mut tablet_b] {
        world.meet(tablet);
    }
    world.edit(&mut tablet_a, changed, "advice", "雨前完成套袋，套袋前喷一次保护剂。");
    world.edit(&mut tablet_a, changed, "crop_id", "pear");
    world.meet(&mut tablet_a);
    Sample { world, conflict, approved, returned, changed, disagreed, script, plain }
}
