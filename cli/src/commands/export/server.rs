//! The exposition over HTTP.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use super::exporter::Exporter;
use super::exposition;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Interrupt;

/// The most connections at a time. Another one waits until a connection ends.
const MAX_CONNECTIONS: usize = 16;

/// The most bytes of the head of one request.
const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// The longest time of one connection, which has one request and its response.
const MAX_TIME: Duration = Duration::from_secs(10);

/// The pause after a failed accept, for example if the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// The addresses of `HOST:PORT`. The server listens at the first usable one.
pub(super) fn addresses(text: &str) -> Result<Arc<[SocketAddr]>, String> {
    let wrong = |why: String| format!("{why}; give HOST:PORT, such as 127.0.0.1:9464 or localhost:9464");
    let all: Arc<[_]> = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.collect();
    if all.is_empty() { Err(wrong("the host has no address".into())) } else { Ok(all) }
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
type Shared = Arc<Mutex<Cache>>;

/// An exposition whose scrape began after this call.
async fn next_exposition(shared: Shared) -> Result<Bytes, JoinError> {
    let asked = Instant::now();
    let mut cache = shared.lock_owned().await;
    // A separate thread completes the scrape, and then releases the lock, even if the client
    // disconnects.
    let task = tokio::task::spawn_blocking(move || match &cache.last {
        Some((begun, text)) if *begun >= asked => text.clone(),
        _ => {
            let begun = Instant::now();
            let text = Bytes::from(exposition::text_of(&cache.exporter.scrape()));
            cache.last = Some((begun, text.clone()));
            text
        }
    });
    task.await
}

async fn metrics(State(shared): State<Shared>) -> Result<impl IntoResponse, StatusCode> {
    let text = next_exposition(shared).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, exposition::CONTENT_TYPE), (CACHE_CONTROL, "no-store")], text))
}

/// Serves at one of `addresses` until a signal asks the process to end; then completes the current
/// responses.
///
/// # Errors
///
/// No address can be used, the system refuses a signal handler, or `announce` fails.
pub(super) fn serve(
    addresses: &[SocketAddr],
    exporter: Exporter,
    announce: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<(), Failure> {
    let unserved = |error| unserved(addresses, &error);
    let (sender, ended) = oneshot::channel::<()>();
    Interrupt::catch(|_| drop(sender))?;
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.map_err(unserved)?.block_on(async {
        let listener = TcpListener::bind(addresses).await.map_err(unserved)?;
        // An error of standard output, which does not concern the address.
        announce(listener.local_addr().map_err(unserved)?)?;
        let shared = Arc::new(Mutex::new(Cache { exporter, last: None }));
        let index = get(async || Html(INDEX));
        let routes = Router::new().route("/", index).route("/metrics", get(metrics)).with_state(shared);
        let connections = GracefulShutdown::new();
        tokio::select! {
            () = accept(listener, &routes, &connections) => {}
            _ = ended => {}
        }
        connections.shutdown().await;
        Ok(())
    })
}

/// Accepts connections, until it is dropped.
async fn accept(listener: TcpListener, routes: &Router, connections: &GracefulShutdown) {
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(MAX_REQUEST_BYTES);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed, so this is always a permit.
        let permit = Arc::clone(&permits).acquire_owned().await.ok();
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(routes.clone());
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // Its errors concern only its client.
            let _ = timeout(MAX_TIME, connection).await;
            drop(permit);
        });
    }
}

/// The failure to serve at `addresses`.
fn unserved(addresses: &[SocketAddr], error: &io::Error) -> Failure {
    let all: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    let address = all.join(" or ");
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(ExitStatus::Failed, format!("{address} is in use"))
            .hint("another exporter may be running; give another port with --listen"),
        _ => Failure::new(ExitStatus::Failed, format!("can't serve at {address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tearless::{Namespace, cleanup::Retention};

    #[tokio::test]
    async fn requests_that_waited_for_a_scrape_share_the_next_one() {
        let name = format!("test-export-shared-{}", std::process::id());
        let namespace = Namespace::open(&name).unwrap();
        let exporter = Exporter::new(namespace.clone(), "*", false, 1);
        let shared = Arc::new(Mutex::new(Cache { exporter, last: None }));
        let scrape_under_way = Arc::clone(&shared).lock_owned().await;
        let asking: Vec<_> = (0..5).map(|_| tokio::spawn(next_exposition(Arc::clone(&shared)))).collect();
        // Until each of them waits.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(scrape_under_way);
        for answer in asking {
            let text = answer.await.unwrap().unwrap();
            assert!(text.windows(29).any(|part| part == b"tearless_exporter_scrapes_tot".as_slice()));
        }
        assert_eq!(shared.lock().await.exporter.scrape().scrapes, 2, "one for all, and this one");
        let _ = next_exposition(shared).await.unwrap();
        namespace.clean(Retention::Nothing).unwrap();
    }

    #[test]
    fn a_host_may_have_a_name() {
        let found = addresses("localhost:9464").unwrap();
        assert!(
            found.iter().all(|address| address.ip().is_loopback() && address.port() == 9464),
            "{found:?}"
        );
        assert_eq!(addresses("[::1]:1").unwrap()[0].to_string(), "[::1]:1");
        for wrong in ["localhost", "everywhere", "127.0.0.1", "127.0.0.1:port", ":"] {
            let message = addresses(wrong).unwrap_err();
            assert!(message.contains("HOST:PORT"), "{message}");
        }
    }
}
