//! `demo`: one hub and three tablets on this machine, through enrolment, offline work, concurrent edits, sync and backup.
//!
//! The hub is the one that `serve` runs, each tablet is a client with its own folder, and they talk QUIC over loopback.
//! Nothing is simulated and no number is written beforehand; the report says what was measured and what does not hold.
//!
//! # Flow
//!
//! ```text
//! init, serve ─> three tickets ─> tablets enrol ─> offline: import a year's ledger, new visits ─> meet the hub
//!   ─> figures against the ledger's truth ─> offline: more visits, the same records edited differently ─> meet the hub
//!   ─> backup ─> meet once more ─> compare
//! ```
//!
//! # Failure
//!
//! Exit code 3 with every claim that does not hold by name.

mod hub;
mod report;
mod story;
mod tablet;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};
use zeroize::Zeroizing;

use qianmo_server::config::{LogConfig, LogFormat, LogLevel};
use qianmo_tablet::Pages;

use crate::cli::{Common, Demo};
use crate::commands::{absolute, serve};
use crate::control_socket::TicketOrder;
use crate::failure::{Exit, Failure, OrFail as _};
use crate::lang::Lang;
use crate::sample::{STATION, Sample, YEAR};
use crate::screen::{self, line};
use crate::{logs, office, times};

use hub::DemoHub;
use report::{Deliveries, Expected, Measured, ReplicaState, Report, Stage, Traffic};
use story::{DOUBLE_EDITS, DoubleEdit};
use tablet::Tablet;

/// Who works on which tablet.
const PERSONS_A: [&str; 2] = ["P01", "P02"];
const PERSONS_B: [&str; 3] = ["P03", "P30", "P35"];
const COORDINATOR: &str = "C01";
/// The service target that a visit after the first meeting is about.
const TARGET: &str = "T003";
/// Visits that technicians write before they first meet the hub, and after.
const FIRST_VISITS: [(&str, &str); 2] =
    [("P01", "查看套袋情况,梨小零星发生,约定一周后复查"), ("P03", "巡查冻害,主干南面有轻微裂皮,建议涂白")];
const LATER_VISITS: [(&str, &str); 2] =
    [("P02", "看水肥一体化设备,过滤器堵塞,当场清洗"), ("P35", "雨后排水不畅,指导开挖排水沟")];
const TICKET_HOURS: u32 = 1;
const TICK: Duration = Duration::from_millis(120);
const BROKEN: &str = "this is a fault of the program: please report it with the lines above";

/// Runs the demo.
///
/// # Errors
/// Something could not be done, or a claim does not hold.
pub(crate) fn run(common: &Common, args: &Demo, lang: Lang) -> Result<(), Failure> {
    logs::start(&LogConfig {
        level: common.log_level.map_or(LogLevel::Error, Into::into),
        format: common.log_format.map_or(LogFormat::Text, Into::into),
    });
    let place = Place::choose(common.data.as_deref())?;
    serve::runtime()?.block_on(show(&place, args, lang))
}

/// Where the demo's folders are.
#[derive(Debug)]
enum Place {
    /// Removed at the end.
    Temporary(tempfile::TempDir),
    /// Kept.
    Kept(PathBuf),
}

impl Place {
    fn choose(kept: Option<&Path>) -> Result<Self, Failure> {
        let next = "choose another folder with --data";
        match kept {
            None => {
                let made = tempfile::Builder::new().prefix("qianmo-demo-").tempdir();
                Ok(Self::Temporary(made.or_fail(Exit::Failed, "no temporary folder can be made", next)?))
            }
            Some(dir) => {
                let dir = absolute(dir)?;
                std::fs::create_dir_all(&dir).or_fail(Exit::Failed, format!("cannot make {}", dir.display()), next)?;
                Ok(Self::Kept(dir))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }
}

/// Says what is being done, on a terminal only.
struct Steps {
    bar: ProgressBar,
    lang: Lang,
}

impl Steps {
    fn new(lang: Lang) -> Self {
        let bar = ProgressBar::new_spinner();
        if std::io::stderr().is_terminal() {
            bar.enable_steady_tick(TICK);
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar, lang }
    }

    fn now(&self, zh: &'static str, en: &'static str) {
        self.bar.set_message(self.lang.label(zh, en));
    }
}

async fn show(place: &Place, args: &Demo, lang: Lang) -> Result<(), Failure> {
    let steps = Steps::new(lang);
    let sample = Sample::embedded().or_fail(Exit::Failed, "the sample cannot be read", BROKEN)?;
    steps.now("建立单位,启动管理端", "making an organisation, starting its hub");
    let hub = DemoHub::start(&place.path().join("hub"), args.web).await?;
    let mut scene = Scene::set(hub, place.path(), &steps).await?;
    let report = scene.play(&sample, place.path(), &steps).await?;
    steps.bar.finish_and_clear();
    line(report.render(lang))?;
    if !args.once {
        let accounts = scene.hub.accounts(COORDINATOR).await?;
        let (handed, pages) = scene.hand_over(lang).await.or_fail(Exit::Failed, "a tablet shows no pages", BROKEN)?;
        scene = handed;
        tell(&scene, &pages, place, &accounts, lang)?;
        stay(&mut scene, lang).await?;
        pages.close().await;
    }
    scene.end().await.or_fail(Exit::Failed, "the demo did not end cleanly", BROKEN)?;
    if args.json {
        screen::json(&report)?;
    }
    if report.not_held().is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::NotHeld, report.not_held().join("; "), BROKEN))
}

fn tell(
    scene: &Scene,
    pages: &Pages,
    place: &Place,
    accounts: &[(String, Zeroizing<String>)],
    lang: Lang,
) -> Result<(), Failure> {
    line("")?;
    let web = scene.hub.web();
    line(format!("{}: http://{web}/", lang.label("记录", "records")))?;
    for (login, password) in accounts {
        line(format!("{}: http://{web}/sign-in  {login} / {}", lang.label("登录审核", "sign in"), password.as_str()))?;
    }
    let whose = lang.label("技术员的平板", "a technician's tablet");
    line(format!("{whose}: {}", pages.address()))?;
    line(format!("{}: http://{web}/?conflicts=true", lang.label("冲突", "conflicts")))?;
    line(format!("{}: http://{web}/api/v1/records", lang.label("同样内容的 JSON", "the same as JSON")))?;
    line(format!("{}: UDP {}", lang.label("平板连接", "tablets"), scene.hub.quic()))?;
    let kept = match place {
        Place::Kept(_) => lang.label("保留", "kept"),
        Place::Temporary(_) => lang.label("结束时删除", "removed at the end"),
    };
    line(format!("{}: {} ({kept})", lang.label("数据目录", "folders"), place.path().display()))?;
    let folder = place.path().join("hub");
    line(format!("{}: qianmo-server devices --data {}", lang.label("也可以试", "try, too"), folder.display()))?;
    line(lang.label("Ctrl-C 结束", "Ctrl-C to end"))?;
    Ok(())
}

/// Stays up until told to stop, or until the hub ends by itself.
async fn stay(scene: &mut Scene, lang: Lang) -> Result<(), Failure> {
    tokio::select! {
        told = serve::told_to_stop() => {
            told.or_fail(Exit::Failed, "signals cannot be received", "end it with SIGKILL; nothing of the demo matters")?;
            line(lang.label("正在结束", "ending"))?;
            Ok(())
        }
        ended = scene.hub.ended() => {
            ended.or_fail(Exit::Failed, "the hub ended by itself", BROKEN)?;
            Err(Failure::new(Exit::Failed, "the hub ended by itself", BROKEN))
        }
    }
}

/// How far a tablet's work should have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// What was written since the last meeting is only on the tablet.
    Tablet,
    /// All of it is durable at the hub.
    Hub,
    /// All of it is in a backup.
    Backup,
}

/// The hub and its tablets.
#[derive(Debug)]
struct Scene {
    hub: DemoHub,
    tablet_a: Tablet,
    tablet_b: Tablet,
    coordinator: Tablet,
}

impl Scene {
    /// Enrols three tablets, each with its own ticket.
    async fn set(hub: DemoHub, root: &Path, steps: &Steps) -> Result<Self, Failure> {
        steps.now("三台平板登记", "three tablets enrol");
        let order = |persons: &[&str], role: &str, district: bool| TicketOrder {
            station: STATION.to_owned(),
            persons: persons.iter().map(|person| (*person).to_owned()).collect(),
            role: role.to_owned(),
            district,
            valid_hours: TICKET_HOURS,
            replaces: None,
        };
        let a = enrol(&hub, root, "tablet_a", order(&PERSONS_A, "technician", false)).await?;
        let b = enrol(&hub, root, "tablet_b", order(&PERSONS_B, "technician", false)).await?;
        let coordinator = enrol(&hub, root, "coordinator", order(&[COORDINATOR], "coordinator", true)).await?;
        Ok(Self { hub, tablet_a: a, tablet_b: b, coordinator })
    }

    /// Everything that happens, and what came of it.
    async fn play(&mut self, sample: &Sample, root: &Path, steps: &Steps) -> Result<Report, Failure> {
        let started = Instant::now();
        let mut stages = Vec::new();
        steps.now("离线导入全年台账,技术员离线写走访", "importing a year's ledger offline, technicians write visits");
        let imported = self.coordinator.import(sample).await.or_fail(Exit::Failed, "the import failed", BROKEN)?;
        self.write_visits(&FIRST_VISITS, None).await.or_fail(Exit::Failed, "the visits were not filed", BROKEN)?;
        stages.push(self.stage("离线录入", "working offline", Reached::Tablet)?);
        steps.now("第一次同步", "meeting the hub");
        self.meet_all().await.or_fail(Exit::Failed, "the first meeting failed", BROKEN)?;
        stages.push(self.stage("第一次同步", "meeting the hub", Reached::Hub)?);
        steps.now("统计与台账真值核对", "comparing the figures with the ledger's truth");
        let figure_faults = sample.differences(&self.hub.figures(YEAR).await?);
        steps.now("离线:新记录,改同一批记录", "offline: new visits, the same records edited on two tablets");
        self.work_offline().await.or_fail(Exit::Failed, "the offline work failed", BROKEN)?;
        stages.push(self.stage("离线再写", "writing offline again", Reached::Tablet)?);
        steps.now("再次同步,合并", "meeting again, merging");
        self.meet_all().await.or_fail(Exit::Failed, "the second meeting failed", BROKEN)?;
        stages.push(self.stage("再次同步", "meeting again", Reached::Hub)?);
        steps.now("备份", "backing up");
        let backup = root.join("backup");
        self.hub.backup(&backup).await?;
        self.meet_all().await.or_fail(Exit::Failed, "the meeting after the backup failed", BROKEN)?;
        stages.push(self.stage("备份", "the backup", Reached::Backup)?);
        steps.now("逐项核对", "comparing");
        let (replicas, traffic) = self.read_all().await.or_fail(Exit::Failed, "the replicas cannot be read", BROKEN)?;
        let took = started.elapsed();
        let backup_faults = office::verify_folder(&backup)?.faults;
        let (rows, accepted) = sample.counts();
        let written_offline = FIRST_VISITS.len() + LATER_VISITS.len();
        let measured = Measured {
            rows: (rows, imported.rows.created),
            entries: imported.entries.created,
            written_offline,
            figure_faults,
            stages,
            backup_faults,
            replicas,
            traffic,
            took,
        };
        let expected = Expected {
            records: accepted + written_offline,
            conflicts: DOUBLE_EDITS.iter().map(DoubleEdit::conflicts).sum(),
            merged: DOUBLE_EDITS.len(),
        };
        Ok(Report::judge(measured, &expected))
    }

    /// Where each tablet's own work is, and where it should be.
    fn stage(&self, zh: &'static str, en: &'static str, reached: Reached) -> Result<Stage, Failure> {
        let mut stage = Stage { zh, en, ..Stage::default() };
        for tablet in [&self.tablet_a, &self.tablet_b, &self.coordinator] {
            let (own, unsent) = tablet.written();
            let expected = match reached {
                Reached::Tablet => Deliveries { waiting: unsent, acknowledged: own - unsent, ..Deliveries::default() },
                Reached::Hub => Deliveries { acknowledged: own, ..Deliveries::default() },
                Reached::Backup => Deliveries { backed_up: own, ..Deliveries::default() },
            };
            let found =
                tablet.deliveries().or_fail(Exit::Failed, format!("{} cannot be read", tablet.name()), BROKEN)?;
            stage.expected.insert(tablet.name().to_owned(), expected);
            stage.found.insert(tablet.name().to_owned(), found);
        }
        Ok(stage)
    }

    /// Each technician's tablet files the visits of those who work on it.
    async fn write_visits(&mut self, visits: &[(&str, &str)], target: Option<&str>) -> anyhow::Result<()> {
        let today = times::today();
        for (person, content) in visits {
            let tablet = if PERSONS_B.contains(person) { &mut self.tablet_b } else { &mut self.tablet_a };
            tablet.file(person, &story::new_visit(person, &today, content, target)).await?;
        }
        Ok(())
    }

    /// Everyone meets the hub; the first ones once more, for what the others brought.
    async fn meet_all(&mut self) -> anyhow::Result<()> {
        self.coordinator.meet_hub().await?;
        self.tablet_a.meet_hub().await?;
        self.tablet_b.meet_hub().await?;
        self.tablet_a.meet_hub().await?;
        self.coordinator.meet_hub().await
    }

    /// New visits, and edits of the same records by two people who do not see one another.
    async fn work_offline(&mut self) -> anyhow::Result<()> {
        let target = self.tablet_a.target(TARGET)?.to_string();
        self.write_visits(&LATER_VISITS, Some(&target)).await?;
        for (record, edit) in self.tablet_a.visits_of(STATION, DOUBLE_EDITS.len())?.into_iter().zip(&DOUBLE_EDITS) {
            self.tablet_a.edit(record, edit.a).await?;
            self.tablet_b.edit(record, edit.b).await?;
        }
        Ok(())
    }

    /// Every replica, the hub first, and what all sessions cost.
    async fn read_all(&self) -> anyhow::Result<(Vec<ReplicaState>, Traffic)> {
        let mut replicas = vec![self.hub.state().await?];
        let mut traffic = Traffic::default();
        for tablet in [&self.tablet_a, &self.tablet_b, &self.coordinator] {
            replicas.push(tablet.state()?);
            traffic.add(&tablet.traffic());
        }
        Ok((replicas, traffic))
    }

    /// Gives a technician's tablet into the hands of who watches.
    async fn hand_over(self, lang: Lang) -> anyhow::Result<(Self, Pages)> {
        let lang = if lang == Lang::Zh { qianmo_forms::Lang::Zh } else { qianmo_forms::Lang::En };
        let [person, _] = PERSONS_A;
        let (tablet_a, pages) = self.tablet_a.hand_over(person, lang).await?;
        Ok((Self { tablet_a, ..self }, pages))
    }

    async fn end(self) -> anyhow::Result<()> {
        for tablet in [self.tablet_a, self.tablet_b, self.coordinator] {
            tablet.close().await?;
        }
        self.hub.stop().await
    }
}

async fn enrol(hub: &DemoHub, root: &Path, name: &str, order: TicketOrder) -> Result<Tablet, Failure> {
    let station = (!order.district).then_some(STATION);
    let ticket = hub.ticket(order).await?;
    let enrolled = Tablet::enroll(name, station, &root.join(name), &ticket).await;
    enrolled.or_fail(Exit::Failed, format!("{name} is not enrolled"), "loopback UDP must be allowed on this machine")
}
