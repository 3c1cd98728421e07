//! Pushing: what became visible, to those who stayed and may read it. A hint; the next session makes good what is lost.

use qianmo_protocol::limits::PACKS_PER_TURN_MAX;
use qianmo_protocol::session::{Shelf as _, Taken};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::exchange::Pump;

use super::{HubCore, HubError, HubOutput, SessionId, Wait, last_word};

/// Most packs that wait for one subscriber; older ones are dropped, and its next session brings them.
const NEWS_MAX: usize = 4 * PACKS_PER_TURN_MAX;

impl HubCore {
    /// Tells subscribers what is new.
    pub(super) fn push_news(&mut self, now: UnixMillis) -> Result<(), HubError> {
        let (visible, has_control) = self.replica.take_visible();
        if has_control {
            self.close_outdated();
        }
        let subscribed = self.sessions.iter().filter(|(_, session)| session.exchange.is_subscribed());
        for id in subscribed.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.has_control_news |= has_control;
            for (name, pack) in &visible {
                let is_its_own = session.received.contains_key(pack);
                if !is_its_own && self.replica.may_read(&session.device, name) {
                    session.news.push_back((name.clone(), *pack));
                }
            }
            while session.news.len() > NEWS_MAX {
                session.news.pop_front();
            }
            self.push_to(now, id)?;
        }
        Ok(())
    }

    /// Subscribers whose program became too old get no news: they come again to upload (A4).
    fn close_outdated(&mut self) {
        let subscribed = self.sessions.iter().filter(|(_, session)| session.exchange.is_subscribed());
        let ends = subscribed.filter_map(|(id, session)| Some((*id, last_word(&self.replica, session)?)));
        for (id, code) in ends.collect::<Vec<_>>() {
            self.sessions.remove(&id);
            self.active.remove(&id);
            self.outputs.push(HubOutput::Close { session: id, code });
        }
    }

    fn push_to(&mut self, now: UnixMillis, id: SessionId) -> Result<(), HubError> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        if session.news.is_empty() && !session.has_control_news {
            return Ok(());
        }
        let take = session.news.len().min(PACKS_PER_TURN_MAX);
        let (news, _) = session.news.make_contiguous().split_at(take);
        let news = news.to_vec();
        if session.exchange.handle_news(&self.replica, &news) == Taken::NotNow {
            return Ok(());
        }
        session.news.drain(..take);
        session.has_control_news = false;
        self.counters.pushes += 1;
        if session.exchange.pump(&mut self.replica)? == Pump::Quiet {
            session.wait = Wait::Nothing;
        }
        self.collect(id);
        self.active.insert(id);
        self.settle(now)
    }
}
