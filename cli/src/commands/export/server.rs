//! The exposition over HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::address::Addresses;
use super::connection::Entrance;
use super::exporter::Exporter;
use super::exposition;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Ends;

const INDEX: &str =
    "<!doctype html><title>tearless</title><p>tearless: <a href=\"/metrics\">metrics</a></p>\n";

/// The exporter, and the last exposition.
struct Cache {
    exporter: Exporter,
    /// When it was begun, and its text.
    last: Option<(Instant, Bytes)>,
}

/// One scrape at a time: whoever asks while one is made waits, and all who have waited share the next one.
#[derive(Clone)]
struct Shared(Arc<Mutex<Cache>>);

impl Shared {
    /// An exposition that was begun after this was called.
    async fn exposition(self) -> Result<Bytes, tokio::task::JoinError> {
        let asked = Instant::now();
        let mut cache = self.0.lock_owned().await;
        // On a thread of its own, which goes on when whoever asked has gone: the lock is let go when it is
        // done.
        let task = tokio::task::spawn_blocking(move || match &cache.last {
            Some((begun, text)) if *begun >= asked => text.clone(),
            _ => {
                let begun = Instant::now();
                let text = Bytes::from(exposition::text_of(cache.exporter.scrape()));
                cache.last = Some((begun, text.clone()));
                text
            }
        });
        task.await
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.exposition().await {
        Ok(text) => {
            let headers = [(CONTENT_TYPE, exposition::CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
            (headers, text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Answers at one of `addresses` until the process is asked to end, and then finishes the answers that are under way.
///
/// # Errors
///
/// If none of them can be listened at, the system refuses a handler of signals, or `announce` fails.
pub(super) async fn serve(
    addresses: &Addresses,
    exporter: Exporter,
    announce: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<(), Failure> {
    let unserved = |error| unserved(addresses, &error);
    let mut ends = Ends::register().map_err(unserved)?;
    let listener = TcpListener::bind(addresses.all()).await.map_err(unserved)?;
    // Of standard output, and no matter of the address.
    announce(listener.local_addr().map_err(unserved)?)?;
    let shared = Shared(Arc::new(Mutex::new(Cache { exporter, last: None })));
    let routes = Router::new()
        .route("/", get(async || Html(INDEX)))
        .route("/metrics", get(metrics))
        .with_state(shared);
    let served = axum::serve(Entrance::new(listener), routes)
        .with_graceful_shutdown(async move { ends.next().await })
        .await;
    served.map_err(unserved)
}

/// Why nothing is served at `addresses`.
pub(super) fn unserved(addresses: &Addresses, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(ExitStatus::Failed, format!("{addresses} is in use"))
            .hint("another exporter may be running; choose another port with --listen"),
        _ => Failure::new(ExitStatus::Failed, format!("can't serve at {addresses}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use tearless::{Namespace, cleanup::Retention};

    use super::super::source::States;
    use super::*;

    #[tokio::test]
    async fn all_who_waited_for_a_scrape_share_the_next_one() {
        let name = format!("test-export-shared-{}", std::process::id());
        let namespace = Namespace::open(&name).unwrap();
        let exporter = Exporter::new(namespace.clone(), "*", States::Current);
        let shared = Shared(Arc::new(Mutex::new(Cache { exporter, last: None })));
        let scrape_under_way = Arc::clone(&shared.0).lock_owned().await;
        let asking: Vec<_> = (0..5).map(|_| tokio::spawn(shared.clone().exposition())).collect();
        // Until each of them waits.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(scrape_under_way);
        for answer in asking {
            let text = answer.await.unwrap().unwrap();
            assert!(text.windows(29).any(|part| part == b"tearless_exporter_scrapes_tot".as_slice()));
        }
        assert_eq!(shared.0.lock().await.exporter.scrape().scrapes, 2, "one for all, and this one");
        let _ = shared.exposition().await.unwrap();
        namespace.clean(Retention::Nothing).unwrap();
    }
}
