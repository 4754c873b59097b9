//! Where a host is reached: `tcp/ADDRESS:PORT` or `quic/ADDRESS:PORT`, and nothing else.

use std::net::IpAddr;

/// An endpoint that was checked.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Endpoint {
    /// Whether it is QUIC, which is protected by TLS.
    pub tls: bool,
    address: String,
}

impl Endpoint {
    /// Returns what is wrong with `text` otherwise. Zenoh's endpoints may carry options behind `?`
    /// and `#`, which could switch off the checks of certificates: no address holds these
    /// characters.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once('/').ok_or("it has no tcp/ or quic/ in front")?;
        let tls = match scheme {
            "tcp" => false,
            "quic" => true,
            // Its two tasks of a link use one connection of TLS without a lock, so that a process
            // may crash: https://github.com/eclipse-zenoh/zenoh/issues/2557.
            "tls" => return Err("TLS over TCP is not memory-safe in Zenoh, TLS over QUIC is"),
            _ => return Err("its protocol is neither tcp nor quic"),
        };
        let (address, port) = rest.rsplit_once(':').ok_or("it has no port")?;
        match port.parse::<u16>() {
            Ok(0) => return Err("port 0 is no port that others can name"),
            Ok(_) if port.bytes().all(|byte| byte.is_ascii_digit()) => {}
            _ => return Err("its port is not a number from 1 to 65535"),
        }
        let address = match address.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').filter(|inner| inner.contains(':')),
            None => Some(address).filter(|address| !address.contains(':')),
        };
        let address = address.ok_or("an IPv6 address needs brackets, as in tcp/[::1]:7447")?;
        if address.contains(':') {
            if address.parse::<IpAddr>().is_err() {
                return Err("its IPv6 address is not valid");
            }
        } else if !is_name(address) {
            return Err("its address is neither an IP address nor a host name");
        }
        Ok(Self { tls, address: address.to_owned() })
    }

    /// Whether only processes of this machine can be at the other end.
    pub fn is_loopback(&self) -> bool {
        match self.address.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.address.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// Whether it may be an IPv4 address or a host name.
fn is_name(address: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !address.is_empty() && address.len() <= 253 && address.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_protocol_an_address_and_a_port() {
        for text in ["tcp/127.0.0.1:7447", "quic/[::1]:1", "tcp/localhost:65535", "tcp/127.9.9.9:80"] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert!(endpoint.is_loopback(), "{text}");
            assert_eq!(endpoint.tls, text.starts_with("quic"), "{text}");
        }
        for text in ["tcp/10.0.0.1:7447", "quic/[2001:db8::1]:1", "tcp/0.0.0.0:1", "tcp/[::]:1", "tcp/a.b:9"]
        {
            assert!(!Endpoint::parse(text).unwrap().is_loopback(), "{text}");
        }
        assert!(Endpoint::parse("tcp/[::ffff:127.0.0.1]:1").unwrap().is_loopback());
    }

    #[test]
    fn nothing_else_is_an_endpoint() {
        for text in [
            "",
            "127.0.0.1:7447",
            "udp/127.0.0.1:7447",
            "tls/127.0.0.1:7447",
            "TCP/127.0.0.1:7447",
            "tcp/127.0.0.1",
            "tcp/127.0.0.1:",
            "tcp/127.0.0.1:0",
            "tcp/127.0.0.1:65536",
            "tcp/127.0.0.1:+80",
            "tcp/:7447",
            "tcp/::1:7447",
            "tcp/[127.0.0.1]:7447",
            "tcp/[::1:7447",
            "tcp/[:::]:7447",
            "tcp/a b:7447",
            "tcp/127.0.0.1:7447#iface=lo",
            "quic/127.0.0.1:7447?rel=0",
            "quic/127.0.0.1#verify_name_on_connect=false:7447",
            "quic/127.0.0.1?rel=0:7447",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text:?}");
        }
    }
}
