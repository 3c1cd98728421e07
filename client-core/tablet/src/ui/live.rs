//! News for pages that are open, and the shelf kept up with the core.

use core::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use qianmo_client_core::Event;
use tokio::sync::watch;

use super::desk::Desk;

/// News that come faster are told as one.
const AT_MOST_EVERY: Duration = Duration::from_millis(300);
const ALIVE_EVERY: Duration = Duration::from_secs(20);

/// Follows the core until it closes or the pages stop.
pub(super) async fn follow(desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    let mut events = desk.client.subscribe();
    loop {
        let event = tokio::select! {
            // An error means that nobody can say stop any more.
            _ = stop.wait_for(|stop| *stop) => break,
            event = events.next() => event,
        };
        let Some(event) = event else { break };
        let desk_then = Arc::clone(&desk);
        let taken = tokio::task::spawn_blocking(move || take(&desk_then, &event)).await;
        if taken.is_err() {
            desk.shelf.forget();
        }
        desk.tell();
    }
    // Streams of pages end, or they would keep the server from ending.
    desk.news.send_replace(u64::MAX);
}

fn take(desk: &Desk, event: &Event) {
    let refreshed = match event {
        Event::RecordsChanged(records) => desk.shelf.refresh(&desk.client, &desk.forms, records),
        Event::Held { records, .. } | Event::Erased { records, .. } => {
            desk.shelf.refresh(&desk.client, &desk.forms, records)
        }
        Event::Lagged | Event::Repaired => {
            desk.shelf.forget();
            Ok(())
        }
        Event::StatusChanged | Event::Synced(_) | Event::BaseVanished { .. } | Event::Copied => Ok(()),
    };
    if let Err(error) = refreshed {
        tracing::warn!(%error, "the shelf is read anew");
        desk.shelf.forget();
    }
}

/// The stream of an open page: that there is news, and nothing else.
pub(super) async fn events(State(desk): State<Arc<Desk>>) -> Response {
    let news = desk.news.subscribe();
    let told = stream::unfold(news, |mut news| async move {
        news.changed().await.ok()?;
        tokio::time::sleep(AT_MOST_EVERY).await;
        let count = *news.borrow_and_update();
        let line = Line::default().event("news").data(count.to_string());
        (count != u64::MAX).then_some((Ok::<_, Infallible>(line), news))
    });
    Sse::new(told).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response()
}
