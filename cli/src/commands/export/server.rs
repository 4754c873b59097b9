//! The exposition over HTTP.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
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

use super::connection::Limited;
use super::exporter::Exporter;
use super::exposition;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Ends;

/// The addresses of `HOST:PORT`. The server listens at the first usable one.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// As on the command line.
    text: String,
    all: Vec<SocketAddr>,
}

impl Addresses {
    pub(super) fn all(&self) -> &[SocketAddr] {
        &self.all
    }
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Addresses, String> {
        let wrong = |why: String| format!("{why}; give HOST:PORT, such as 127.0.0.1:9464 or localhost:9464");
        let all: Vec<_> = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.collect();
        match all.is_empty() {
            true => Err(wrong("the host has no address".into())),
            false => Ok(Addresses { text: text.into(), all }),
        }
    }
}

impl Display for Addresses {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

const INDEX: &str =
    "<!doctype html><title>tearless</title><p>tearless: <a href=\"/metrics\">metrics</a></p>\n";

/// The exporter and its last exposition.
struct Cache {
    exporter: Exporter,
    /// When its scrape began, and its text.
    last: Option<(Instant, Bytes)>,
}

/// Runs one scrape at a time. Requests that arrive during a scrape wait, and share the next one.
#[derive(Clone)]
struct Shared(Arc<Mutex<Cache>>);

impl Shared {
    /// An exposition whose scrape began after this call.
    async fn exposition(self) -> Result<Bytes, tokio::task::JoinError> {
        let asked = Instant::now();
        let mut cache = self.0.lock_owned().await;
        // A separate thread completes the scrape, and then releases the lock, even if the client
        // disconnects.
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

/// Serves at one of `addresses` until a signal asks the process to end; then completes the current
/// responses.
///
/// # Errors
///
/// No address can be used, the system refuses a signal handler, or `announce` fails.
pub(super) async fn serve(
    addresses: &Addresses,
    exporter: Exporter,
    announce: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<(), Failure> {
    let unserved = |error| unserved(addresses, &error);
    let mut ends = Ends::register().map_err(unserved)?;
    let listener = TcpListener::bind(addresses.all()).await.map_err(unserved)?;
    // An error of standard output, which does not concern the address.
    announce(listener.local_addr().map_err(unserved)?)?;
    let shared = Shared(Arc::new(Mutex::new(Cache { exporter, last: None })));
    let routes = Router::new()
        .route("/", get(async || Html(INDEX)))
        .route("/metrics", get(metrics))
        .with_state(shared);
    let served = axum::serve(Limited::new(listener), routes)
        .with_graceful_shutdown(async move { ends.next().await })
        .await;
    served.map_err(unserved)
}

/// The failure to serve at `addresses`.
pub(super) fn unserved(addresses: &Addresses, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(ExitStatus::Failed, format!("{addresses} is in use"))
            .hint("another exporter may be running; give another port with --listen"),
        _ => Failure::new(ExitStatus::Failed, format!("can't serve at {addresses}: {error}")),
    }
}

#[test]
fn a_host_may_have_a_name() {
    let found: Addresses = "localhost:9464".parse().unwrap();
    assert!(
        found.all().iter().all(|address| address.ip().is_loopback() && address.port() == 9464),
        "{found:?}"
    );
    assert_eq!("[::1]:1".parse::<Addresses>().unwrap().all()[0].to_string(), "[::1]:1");
    for wrong in ["localhost", "everywhere", "127.0.0.1", "127.0.0.1:port", ":"] {
        let message = wrong.parse::<Addresses>().unwrap_err();
        assert!(message.contains("HOST:PORT"), "{message}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::States;
    use super::*;
    use tearless::{Namespace, cleanup::Retention};

    #[tokio::test]
    async fn requests_that_waited_for_a_scrape_share_the_next_one() {
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
