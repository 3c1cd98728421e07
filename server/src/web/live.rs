//! What pages hear while they are open: that the read model went on.
//!
//! One stream of server-sent events for each open page. It carries numbers only; a page that wants to know more asks for
//! itself again, with its own rights. One task looks at the model for all of them, and only while somebody listens.
//!
//! # Limits
//!
//! [`LISTENERS_MAX`], `LOOK_EVERY`. A page that finds no place works as it does without scripts.

use core::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::{Semaphore, watch};

use super::{Refusal, WebState};

/// Most pages that listen at a time.
pub(super) const LISTENERS_MAX: usize = 256;
/// How often the model is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1_500);
/// A comment now and then, so that no proxy takes the line for dead.
const ALIVE_EVERY: Duration = Duration::from_secs(20);

/// The state of the model that was last seen; `None` when the hub stops.
pub(super) type Seen = Option<u64>;

/// Who tells and who listens.
#[derive(Debug)]
pub(super) struct Live {
    seen: watch::Sender<Seen>,
    places: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self { seen: watch::Sender::new(Some(0)), places: Arc::new(Semaphore::new(LISTENERS_MAX)) }
    }
}

impl WebState {
    /// Looks at the model while somebody listens, until told to stop.
    pub(super) async fn watch_model(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                // An error means that nobody can say stop any more.
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if self.shared.live.seen.receiver_count() == 0 {
                continue;
            }
            if let Ok(Some(position)) = self.read(|reader| reader.position()).await {
                self.shared.live.seen.send_if_modified(|seen| {
                    let is_news = *seen != Some(position.commit);
                    *seen = Some(position.commit);
                    is_news
                });
            }
        }
        self.shared.live.seen.send_replace(None);
    }
}

/// The stream of a page.
pub(super) async fn events(State(state): State<WebState>) -> Response {
    let Ok(place) = Arc::clone(&state.shared.live.places).try_acquire_owned() else {
        return Refusal::Unavailable.into_response();
    };
    let mut seen = state.shared.live.seen.subscribe();
    seen.mark_unchanged();
    let told = stream::unfold((seen, place), |(mut seen, place)| async move {
        seen.changed().await.ok()?;
        let commit = (*seen.borrow_and_update())?;
        let event = Event::default().event("news").data(commit.to_string());
        Some((Ok::<_, Infallible>(event), (seen, place)))
    });
    Sse::new(told).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response()
}
