//! The pages over HTTP, with many records behind them: what the server takes for each list, and how many records it says
//! there are.
//!
//! The records are those of the read model's own figures, with directories of stations, people, organisations and targets
//! beside them. The web server of the hub runs in this process over a loopback socket; one client that keeps its connection
//! asks one page after another. The time is from the first byte of a request to the last of its answer, so it holds
//! everything the server does, and the little that loopback costs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ed25519_dalek::SigningKey;
use qianmo_forms::FormSet;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Decision, Grant, Role, Scope};
use qianmo_protocol::ids::{Code, LogbookName};
use qianmo_protocol::record::{RecordRoot, create};
use qianmo_replica::disk::MemoryDisk;
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::replica::Replica;
use qianmo_server::admin::Folder;
use qianmo_server::hub::{ClockCheck, Founding, HubCore, HubHandle, HubLimits, HubSecrets, HubSetup, HubThread};
use qianmo_server::metrics::Metrics;
use qianmo_server::password::PasswordHash;
use qianmo_server::projection::{Filter, Position, Projection, Reader};
use qianmo_server::registry::Account;
use qianmo_server::web::{BehindProxy, WebState, serve};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::projection::{STATIONS, fill, form, month, station};
use super::{Lines, millis, percentile, ratio};
use crate::workload;
use crate::world::{NOW, Storage, World};

/// What a list page may take.
const AIM_P95_MS: u32 = 100;
/// Records on one page of a list.
const PAGE: usize = 50;
const PEOPLE: u32 = 40;
const ORGANISATIONS: u32 = 10;
const TARGETS: u32 = 200;
/// Of the coordinator, in a hub that nobody else can reach.
const PASSWORD: &str = "山桃花开 before-rain";
/// The parts of a person's made-up name.
const NAMES: [&str; 8] = ["吕", "单", "曾", "解", "桑遥", "重光", "长乐", "乐行"];

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct ReadOrder {
    /// Records.
    #[arg(long, default_value_t = 50_000)]
    pub records: usize,
    /// Requests of each page.
    #[arg(long, default_value_t = 200)]
    pub requests: usize,
    /// Where the store is kept for the next run, which then begins with it; the seed and the number of records must be the
    /// same. Without one, everything is made anew.
    #[arg(long)]
    pub store: Option<PathBuf>,
}

/// Measures all of it.
///
/// # Errors
/// When a step does not do what it must.
pub fn run(lines: &mut Lines<'_>, order: &ReadOrder) -> anyhow::Result<()> {
    let made = tempfile::tempdir()?;
    let folder = order.store.as_deref().unwrap_or_else(|| made.path());
    let model = Folder::new(folder.join("office"));
    project(&stored(lines.seed, folder, order.records)?, &model)?;
    let deep = deep_cursor(&Reader::open(&model.projection())?, order.records)?;
    let office = Office::open(&model)?;
    let mut client = Client::connect(office.address)?;
    let mut rng = ChaCha20Rng::seed_from_u64(lines.seed);
    for page in pages(&deep) {
        measure(lines, order, &mut client, &mut rng, &page)?;
    }
    Ok(())
}

/// The hub's store with the records, made or kept.
fn stored(seed: u64, folder: &Path, records: usize) -> anyhow::Result<Replica> {
    if folder.join("hub").is_dir() {
        let replica = World::stored_hub(seed, folder);
        let held = replica.all_records()?.len();
        ensure!(held >= records, "the store in {} holds {held} records", folder.display());
        return Ok(replica);
    }
    let mut world = World::with_storage(seed, Storage::Folder(folder.to_owned()));
    fill(&mut world, records)?;
    list_directories(&mut world)?;
    Ok(world.hub.replica)
}

/// An entry of a directory.
struct Entry {
    form: &'static str,
    station: Option<String>,
    answers: Vec<(&'static str, String)>,
}

/// Who and what the records speak of.
fn entries(rng: &mut ChaCha20Rng) -> Vec<Entry> {
    let of_all = |form, answers| Entry { form, station: None, answers };
    let stations = (1..=STATIONS).map(|number| {
        let (code, name) = (format!("ST{number:02}"), format!("样例{number}号科技小院"));
        of_all("station", vec![("code", code), ("name", name), ("kind", "backyard".to_owned())])
    });
    let organisations = (1..=ORGANISATIONS).map(|number| {
        let (code, name) = (format!("O{number:02}"), format!("样例{number}号果品合作社"));
        of_all("organisation", vec![("code", code), ("name", name), ("kind", "cooperative".to_owned())])
    });
    let mut entries: Vec<Entry> = stations.chain(organisations).collect();
    for number in 1..=PEOPLE {
        let name = [0, 4].map(|from| NAMES[from + rng.random_range(0..4)]).concat();
        let answers = vec![("code", format!("P{number:02}")), ("name", name), ("role", "technician".to_owned())];
        entries.push(of_all("staff", answers));
    }
    for number in 1..=TARGETS {
        let answers = vec![
            ("code", format!("T{number:03}")),
            ("name", format!("样例农户{number:03}")),
            ("kind", "household".to_owned()),
            ("main_crops", "peach chestnut".to_owned()),
            ("town_code", format!("110117{:03}", rng.random_range(101..112))),
        ];
        entries.push(Entry { form: "target", station: Some(station(rng)), answers });
    }
    entries
}

/// Files them.
fn list_directories(world: &mut World) -> anyhow::Result<()> {
    let mut tablet = world.enrol("C999", Role::Coordinator);
    for Entry { form, station, answers } in entries(&mut world.rng) {
        let station = station.map(|code| Code::new(&code)).transpose()?;
        let name = station.clone().map_or(LogbookName::OrgDirectory, LogbookName::StationDirectory);
        let origin = tablet.origin(world);
        let root = RecordRoot {
            form: Code::new(form)?,
            form_version: 1,
            station,
            logbook: name.id(&world.org),
            author: tablet.person.clone(),
            created_at: origin.time,
        };
        let fields = answers.into_iter().map(|(name, text)| (name.to_owned(), Scalar::Text(text))).collect();
        let record = create(&origin, &root, &fields, &BTreeMap::new())?;
        let doc = record.change.doc_id_if_root().context("a new record has a root")?;
        tablet.replica.write(&name, &[(doc, record)], None)?;
    }
    tablet.replica.sync()?;
    ensure!(world.meet_pushing(&mut tablet).finished, "the directories did not reach the hub");
    Ok(())
}

/// Builds the read model, unless it is there.
fn project(replica: &Replica, folder: &Folder) -> anyhow::Result<()> {
    let path = folder.projection();
    std::fs::create_dir_all(path.parent().context("the model lies in a folder")?)?;
    let epoch = qianmo_protocol::ids::Epoch([1; 16]);
    let position = Position { epoch, commit: replica.durable_commit().0 };
    let mut projection = Projection::open(&path, Arc::new(FormSet::built_in()?))?;
    if projection.position()? != Some(position) {
        projection.rebuild(replica, position)?;
    }
    Ok(())
}

/// Where nine in ten of the records are behind.
fn deep_cursor(reader: &Reader, records: usize) -> anyhow::Result<String> {
    let mut after = None;
    for _ in 0..(records * 9 / 10).div_ceil(500).max(1) {
        after = reader.first(&Filter::default(), after, 500)?.next;
    }
    Ok(after.context("there are too few records for a deep page")?.encode())
}

/// The hub's web server. The hub behind it is a new one: lists come from the read model alone.
struct Office {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
    _hub: (HubHandle, HubThread),
    _runtime: Runtime,
}

impl Office {
    fn open(folder: &Folder) -> anyhow::Result<Self> {
        let mut rng = StdRng::seed_from_u64(1);
        let mut key = || SigningKey::from_bytes(&rng.random());
        let authority = key();
        let secrets = HubSecrets { signing: key(), device: key(), bundle_public: [9; 32] };
        let setup = HubSetup {
            authority: authority.verifying_key().to_bytes(),
            secrets,
            limits: HubLimits::default(),
            clock: ClockCheck::Strict,
            rng: StdRng::seed_from_u64(2),
        };
        let founding = Founding { authority: &authority, admin: Code::new("ADMIN")? };
        let mut core =
            HubCore::found(Box::new(MemoryDisk::new()), Box::new(MemoryIndex::new()), setup, &founding, NOW)?;
        let person = Code::new("ADMIN")?;
        let grant = Grant { person: person.clone(), role: Role::Coordinator, scope: Scope::District };
        core.decide(NOW, vec![Decision::Grant(grant)])?;
        let account = Account::fresh(person.clone(), person, PasswordHash::of(PASSWORD)?, NOW);
        core.make_account(NOW, Account { must_change: false, ..account }, None)?;
        let hub = HubHandle::spawn(core, Arc::new(|| NOW), None)?;
        let forms = Arc::new(FormSet::built_in()?);
        let state = WebState::new(hub.0.clone(), folder, forms, "样例区推广站", BehindProxy::No, Metrics::default());
        let runtime = Runtime::new()?;
        let (stop, stopping) = watch::channel(false);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(serve(listener, state, stopping));
        Ok(Self { address, _stop: stop, _hub: hub, _runtime: runtime })
    }
}

/// One browser's connection.
struct Client {
    stream: BufReader<TcpStream>,
    /// Of a coordinator who is signed in; sent with what only they may see.
    cookie: String,
}

impl Client {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream: BufReader::new(stream), cookie: String::new() };
        let form = format!("login=ADMIN&password={}&next=/", encoded(PASSWORD));
        let (head, _) = client.ask(&format!(
            "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ))?;
        let set = head.lines().find_map(|line| Some(line.split_once("set-cookie: ")?.1.split(';').next()?.to_owned()));
        client.cookie = set.with_context(|| format!("nobody was signed in: {head}"))?;
        Ok(client)
    }

    /// What a request is answered with: head and body.
    fn ask(&mut self, request: &str) -> anyhow::Result<(String, String)> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut head, mut line) = (String::new(), "first".to_owned());
        while line.trim() != "" {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the server hung up");
            head.push_str(&line);
        }
        let mut lengths = head
            .lines()
            .filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; lengths.next_back().context("an answer without a length")?];
        self.stream.read_exact(&mut body)?;
        Ok((head, String::from_utf8(body)?))
    }

    /// The page at a path, and how long it took.
    fn get(&mut self, path: &str) -> anyhow::Result<(String, Duration)> {
        let cookie = if path.starts_with("/inbox") { self.cookie.as_str() } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n");
        let start = Instant::now();
        let (head, body) = self.ask(&request)?;
        let took = start.elapsed();
        ensure!(head.starts_with("HTTP/1.1 200"), "{path} was answered with {head}");
        Ok((body, took))
    }
}

/// Makes the address of a page.
type Address = Box<dyn Fn(&mut ChaCha20Rng) -> String>;

/// A page, and the address it is asked at each time.
struct Page {
    title: &'static str,
    address: Address,
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn any(words: &[&str], rng: &mut ChaCha20Rng) -> String {
    encoded(words[rng.random_range(0..words.len())])
}

/// Every list page, with every sort of filter.
fn pages(deep: &str) -> Vec<Page> {
    let page = |title, address: Address| Page { title, address };
    let plain = |title, address: &str| {
        let address = address.to_owned();
        page(title, Box::new(move |_: &mut ChaCha20Rng| address.clone()))
    };
    let place = |rng: &mut ChaCha20Rng| format!("station={}&month=2025-{:02}", station(rng), month(rng));
    vec![
        plain("/ without a filter", "/"),
        plain("/ in English", "/?lang=en"),
        plain("/ to review", "/?state=pending"),
        plain("/ approved", "/?state=approved"),
        plain("/ returned", "/?state=returned"),
        plain("/ disagreed: there is none", "/?state=disagreed"),
        plain("/ with a conflict: there is none", "/?conflicts=true"),
        plain("/ changed after approval: there is none", "/?changed=true"),
        page("/ of a station", Box::new(|rng| format!("/?station={}", station(rng)))),
        page("/ of a month", Box::new(|rng| format!("/?month=2025-{:02}", month(rng)))),
        page("/ of a form", Box::new(|rng| format!("/?form={}", form(rng)))),
        page(
            "/ of a station, month, form and state",
            Box::new(move |rng| format!("/?{}&form={}&state=returned", place(rng), form(rng))),
        ),
        page("/ with a rare word", Box::new(|rng| format!("/?text={}", any(&workload::RARE_WORDS, rng)))),
        page("/ with a frequent word", Box::new(|rng| format!("/?text={}", any(&workload::FREQUENT_WORDS, rng)))),
        page(
            "/ with a frequent word, to review, of a station",
            Box::new(|rng| {
                format!("/?text={}&state=pending&station={}", any(&workload::FREQUENT_WORDS, rng), station(rng))
            }),
        ),
        plain("/ with one frequent character", &format!("/?text={}", encoded("样"))),
        plain("/ second page", "second"),
        plain("/find an everyday name", &format!("/find?q={}", encoded("红蜘蛛"))),
        plain("/find by the initials of a pest", "/find?q=lxsxc"),
        plain("/find people by pinyin", "/find?q=lvsangyao"),
        plain("/find targets by crop", &format!("/find?q={}&in=targets", encoded("板栗"))),
        plain("/find nothing", &format!("/find?q={}", encoded("没有这种说法"))),
        page("/find by a code", Box::new(|rng| format!("/find?q=T{:03}", rng.random_range(1..TARGETS)))),
        page("/find a frequent word", Box::new(|rng| format!("/find?q={}", any(&workload::FREQUENT_WORDS, rng)))),
        page("/targets, a timeline", Box::new(|rng| format!("/targets/T{:03}", rng.random_range(1..TARGETS)))),
        page("/people, a person's records", Box::new(|rng| format!("/people/P{:02}", rng.random_range(1..30)))),
        plain("/inbox", "/inbox"),
        page("/inbox of a station", Box::new(|rng| format!("/inbox?station={}", station(rng)))),
        page(
            "/inbox with a frequent word",
            Box::new(|rng| format!("/inbox?text={}", any(&workload::FREQUENT_WORDS, rng))),
        ),
        plain("/inbox flagged", "/inbox?flagged=true"),
        plain("/inbox written late", "/inbox?late=true"),
        plain("/inbox resubmitted", "/inbox?resubmitted=true"),
        plain("/inbox with an unanswered reply: there is none", "/inbox?unanswered=true"),
        plain("/ nine tenths down", &format!("/?cursor={deep}")),
    ]
}

/// The address of the page after the first.
fn second(client: &mut Client) -> anyhow::Result<String> {
    let (body, _) = client.get("/")?;
    let link = body.split("<a ").find(|tag| tag.contains("rel=\"next\"")).context("there is no second page")?;
    let address =
        link.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).context("a link has an address")?;
    Ok(address.replace("&#38;", "&").replace("&amp;", "&"))
}

/// How many records a page says there are.
fn said(body: &str) -> Option<u64> {
    let total = body.split("class=\"total\">").nth(1)?.split('<').next()?;
    total.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

fn measure(
    lines: &mut Lines<'_>,
    order: &ReadOrder,
    client: &mut Client,
    rng: &mut ChaCha20Rng,
    page: &Page,
) -> anyhow::Result<()> {
    let second = second(client)?;
    let (mut times, mut says, mut bytes) = (Vec::new(), Vec::new(), 0);
    // The first request of a sort prepares its statements.
    for request in 0..=order.requests {
        let address = (page.address)(rng);
        let address = if address == "second" { &second } else { &address };
        let (body, took) = client.get(address)?;
        if request > 0 {
            times.push(took);
        }
        says.push(said(&body).with_context(|| format!("{address} does not say how many there are"))?);
        bytes = bytes.max(body.len());
    }
    let p95 = millis(percentile(&times, 95));
    let values = json!({
        "records": order.records,
        "query": page.title,
        "requests": order.requests,
        "records_a_page": PAGE,
        "says_records_least": says.iter().min(),
        "says_records_most": says.iter().max(),
        "p50_ms": millis(percentile(&times, 50)),
        "p95_ms": p95,
        "aim_p95_ms": AIM_P95_MS,
        "ratio_to_aim": ratio(p95, f64::from(AIM_P95_MS)),
        "body_bytes_most": bytes,
    });
    lines.say("list_page", values)
}
