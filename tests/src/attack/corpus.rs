//! The attacks, one by one: what is sent, and how it must end.
//!
//! Each is sent by a freshly enrolled device in a session of its own, so that none profits from what another left behind.

mod changes;
mod frames;
mod packs;
mod turns;

use anyhow::Context as _;
use qianmo_protocol::change::RawChange;
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::Decision;
use qianmo_protocol::pack::Pack;
use qianmo_protocol::session::message::{Message, RefuseCode, Turn};
use serde_json::{Value, json};

use super::device::{Answer, Heard, Hostile};
use super::honest::Honest;
use super::hub_process::{Cost, HubProcess};
use super::{CPU_MAX, HEAP_MAX};

/// How an attack ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The hub closes the session.
    Closed(CloseCode),
    /// The hub does not take the pack.
    Refused(RefuseCode),
    /// The change is held, with this code, and shown to people.
    Held(u16),
    /// The fork is proven in the control log for everybody to see.
    ForkProven,
    /// The hub answers as it answers anybody, and nothing came of it.
    Nothing,
}

impl Ending {
    fn of(heard: &Heard) -> Self {
        match heard {
            Heard::Closed(code) => Self::Closed(*code),
            Heard::Answer(answer) => Self::of_answer(answer),
        }
    }

    fn of_answer(answer: &Answer) -> Self {
        let is_proof = |decision: &Decision| matches!(decision, Decision::ForkProof { .. });
        if let Some(code) = answer.refused.first() {
            Self::Refused(*code)
        } else if let Some(code) = answer.held.first() {
            Self::Held(*code)
        } else if answer.control.iter().any(|entry| is_proof(&entry.content().decision)) {
            Self::ForkProven
        } else {
            Self::Nothing
        }
    }

    fn words(self) -> String {
        match self {
            Self::Closed(code) => format!("session closed: {} {code:?}", code.number()),
            Self::Refused(code) => format!("pack refused: {} {code:?}", code.number()),
            Self::Held(code) => format!("change held: {code}"),
            Self::ForkProven => "fork proven in the control log".to_owned(),
            Self::Nothing => "answered, nothing came of it".to_owned(),
        }
    }
}

/// What an attack can use.
pub struct Scene {
    /// Who attacks.
    pub hostile: Hostile,
    /// An honest record of somebody else.
    pub victim_change: RawChange,
    /// The pack that carries it.
    pub victim_pack: Pack,
    /// Who wrote it.
    pub victim_person: String,
}

/// What is sent once a session stands.
pub enum Sent {
    /// Bytes on the stream.
    Bytes(fn(&mut Scene) -> Vec<u8>),
    /// Messages of a turn.
    Turn(fn(&mut Scene) -> Vec<Message>),
    /// Messages of a turn that says something in its header too.
    Header(fn(&mut Scene) -> (Turn, Vec<Message>)),
    /// Messages outside a turn, and an empty turn afterwards.
    Said(fn(&mut Scene) -> Vec<Message>),
}

/// By what the cost of an attack is divided before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// By its messages.
    Message,
    /// By the changes in its packs: the hub answers for each of them.
    Change,
    /// Its cost is no attack's: a device may write so much, and an honest one would cost the same. What protects the others
    /// is that they have their turn meanwhile.
    Lawful,
}

/// An attack.
pub struct Attack {
    /// Its name.
    pub name: &'static str,
    /// What is sent.
    pub sent: Sent,
    /// How it must end.
    pub ends: Ending,
    /// By what its cost is divided.
    pub per: Per,
}

const fn attack(name: &'static str, sent: Sent, ends: Ending) -> Attack {
    Attack { name, sent, ends, per: Per::Message }
}

impl Attack {
    const fn per(self, per: Per) -> Self {
        Self { per, ..self }
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Attack> {
    [frames::all(), packs::all(), changes::all(), turns::all()].into_iter().flatten().collect()
}

/// What an attack came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// Messages of which it consists, or changes.
    pub units: u64,
    /// Which of them.
    pub per: Per,
    /// What it cost the hub: the least processor time of several runs, because others at work on the machine only add to
    /// it, and the most heap.
    pub cost: Cost,
    /// How it ended.
    pub ended: Ending,
    /// How it must end.
    pub must: Ending,
    /// Whether an honest tablet could deliver a record at once afterwards.
    pub is_honest_served: bool,
}

impl Outcome {
    /// Processor time for one message or change, in microseconds.
    #[must_use]
    pub const fn cpu_us(&self) -> u64 {
        self.cost.cpu_us / self.units
    }

    /// Heap for one message or change.
    #[must_use]
    pub const fn heap(&self) -> u64 {
        self.cost.heap_peak / self.units
    }

    /// Whether its cost is judged at all.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.per != Per::Lawful
    }

    /// Whether it ended as it must, and kept nobody honest out.
    #[must_use]
    pub fn is_as_it_must(&self) -> bool {
        self.ended == self.must && self.is_honest_served
    }

    /// Whether it did so at a bearable cost.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let cpu_max = u64::try_from(CPU_MAX.as_micros()).unwrap_or(u64::MAX);
        self.is_as_it_must() && (!self.is_limited() || (self.cpu_us() <= cpu_max && self.heap() <= HEAP_MAX))
    }

    /// As a figure.
    #[must_use]
    pub fn values(&self) -> Value {
        json!({
            "name": self.name,
            "units": self.units,
            "unit": match self.per {
                Per::Message => "message",
                Per::Change => "change",
                Per::Lawful => "lawful message",
            },
            "cpu_ms": f64::from(u32::try_from(self.cpu_us()).unwrap_or(u32::MAX)) / 1e3,
            "peak_alloc_bytes": self.heap(),
            "peak_alloc_bytes_together": self.cost.heap_peak,
            "ended": self.ended.words(),
            "ended_as_it_must": self.ended == self.must,
            "honest_served": self.is_honest_served,
        })
    }
}

/// Where attacks take place.
pub struct Arena {
    /// The hub.
    pub hub: HubProcess,
    /// An honest tablet.
    pub honest: Honest,
    victim_change: RawChange,
    victim_pack: Pack,
    victim_person: String,
    seed: u64,
}

impl Arena {
    /// A hub with an honest tablet and a victim's record.
    ///
    /// # Errors
    /// When they cannot be made.
    pub async fn new(mut hub: HubProcess, honest: Honest, seed: u64) -> anyhow::Result<Self> {
        let mut victim = Hostile::enrol(&mut hub, seed).await?;
        let change = victim.visit();
        let pack = victim.pack_of(change.clone());
        let heard = victim.session().await?.turn(vec![Message::Pack(pack.clone())]).await?;
        anyhow::ensure!(Ending::of(&heard) == Ending::Nothing, "the victim's record was not taken: {heard:?}");
        let victim_person = victim.person.to_string();
        Ok(Self { hub, honest, victim_change: change, victim_pack: pack, victim_person, seed: seed + 1 })
    }

    /// A new hostile device.
    ///
    /// # Errors
    /// When the hub does not take it.
    pub async fn hostile(&mut self) -> anyhow::Result<Hostile> {
        self.seed += 1;
        Hostile::enrol(&mut self.hub, self.seed).await
    }

    async fn scene(&mut self) -> anyhow::Result<Scene> {
        Ok(Scene {
            hostile: self.hostile().await?,
            victim_change: self.victim_change.clone(),
            victim_pack: self.victim_pack.clone(),
            victim_person: self.victim_person.clone(),
        })
    }

    /// Plays an attack a few times.
    ///
    /// # Errors
    /// When the hub does not answer at all.
    pub async fn play(&mut self, attack: &Attack, times: usize) -> anyhow::Result<Outcome> {
        let mut costs = Vec::new();
        let (mut ended, mut units) = (Vec::new(), 1);
        for _ in 0..times {
            let mut scene = self.scene().await?;
            let (ending, count, cost) =
                self.once(attack, &mut scene).await.with_context(|| format!("attack {}", attack.name))?;
            units = count;
            costs.push(cost);
            ended.push(ending);
        }
        costs.sort_by_key(|cost| cost.cpu_us);
        let cost = costs.first().copied().unwrap_or_default();
        let heap_peak = costs.iter().map(|cost| cost.heap_peak).max().unwrap_or_default();
        let wrong = ended.iter().find(|ended| **ended != attack.ends).copied();
        Ok(Outcome {
            name: attack.name,
            units,
            per: attack.per,
            cost: Cost { heap_peak, ..cost },
            ended: wrong.unwrap_or(attack.ends),
            must: attack.ends,
            is_honest_served: self.honest.deliver().await.is_ok(),
        })
    }

    async fn once(&mut self, attack: &Attack, scene: &mut Scene) -> anyhow::Result<(Ending, u64, Cost)> {
        let mut talk = scene.hostile.session().await?;
        let (heard, messages) = match attack.sent {
            Sent::Bytes(bytes) => {
                let bytes = bytes(scene);
                self.hub.mark().await?;
                talk.raw(&bytes).await?;
                (talk.closed().await?, 1)
            }
            Sent::Turn(turn) => {
                let messages = turn(scene);
                let count = match attack.per {
                    Per::Message | Per::Lawful => messages.len(),
                    Per::Change => messages.iter().map(changes_in).sum(),
                };
                self.hub.mark().await?;
                (talk.turn(messages).await?, count)
            }
            Sent::Said(messages) => {
                let messages = messages(scene);
                let headers = messages.iter().filter(|message| matches!(message, Message::Vectors(_))).count();
                self.hub.mark().await?;
                talk.say(&messages).await?;
                // Each header is answered.
                for _ in 0..headers {
                    if let heard @ Heard::Closed(_) = talk.answer().await? {
                        return Ok((Ending::of(&heard), u64::try_from(messages.len())?, self.hub.cost().await?));
                    }
                }
                (talk.turn(Vec::new()).await?, messages.len())
            }
            Sent::Header(turn) => {
                let (header, messages) = turn(scene);
                let count = messages.len();
                self.hub.mark().await?;
                let header = Turn { follow: count, ..header };
                (talk.turn_with(header, messages).await?, count)
            }
        };
        let cost = self.hub.cost().await?;
        talk.link.close(CloseCode::Done).await;
        Ok((Ending::of(&heard), u64::try_from(messages.max(1))?, cost))
    }
}

fn changes_in(message: &Message) -> usize {
    if let Message::Pack(pack) = message { usize::from(pack.header.entries) } else { 1 }
}
