//! Where the exporter listens.

use std::fmt::{self, Display, Formatter};
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The addresses that `HOST:PORT` stands for: of them, the first one that can be used is used.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// As it was written.
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
        let wrong = |why: String| format!("{why}; say HOST:PORT, such as 127.0.0.1:9464 or localhost:9464");
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

#[test]
fn a_host_may_have_a_name() {
    let found: Addresses = "localhost:9464".parse().unwrap();
    assert!(
        found.all().iter().all(|address| address.ip().is_loopback() && address.port() == 9464),
        "{found:?}"
    );
    assert_eq!("[::1]:1".parse::<Addresses>().unwrap().all()[0].to_string(), "[::1]:1");
    for wrong in ["localhost", "everywhere", "127.0.0.1", "127.0.0.1:port", ":"] {
        let said = wrong.parse::<Addresses>().unwrap_err();
        assert!(said.contains("HOST:PORT"), "{said}");
    }
}
