//! The options as a configuration of the engine.

use std::time::Duration;

use super::hosts::{PREFIX, keys_of};
use super::options::{CarrierError, Mode, ZenohOptions};
use crate::message::MAX_REPLY_BYTES;

/// A link without a sign of life for so long is closed, and opened again. Shorter than the pauses
/// of TCP and QUIC after a partition, both of which double the time between retransmissions: a new
/// connection comes sooner than the next one of the old connection. QUIC notices only by this time
/// that a host's mirror was killed; with TCP, the other host's kernel says so.
pub(super) const LEASE: Duration = Duration::from_secs(2);
/// Between two attempts to connect.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// The configuration that has these options.
pub(super) fn config(options: &ZenohOptions) -> Result<zenoh::Config, CarrierError> {
    options.check()?;
    let tls = options.tls.as_ref().map(|tls| {
        serde_json::json!({
            "root_ca_certificate": tls.root_ca,
            "listen_certificate": tls.certificate,
            "listen_private_key": tls.key,
            "connect_certificate": tls.certificate,
            "connect_private_key": tls.key,
            "enable_mtls": true,
            "verify_name_on_connect": true,
            "close_link_on_expiration": true,
        })
    });
    let client = options.mode == Mode::Client;
    let text = serde_json::json!({
        "mode": match options.mode { Mode::Router => "router", Mode::Peer => "peer", Mode::Client => "client" },
        "listen": { "endpoints": options.listen, "timeout_ms": 0, "exit_on_failure": true },
        "connect": {
            "endpoints": options.connect,
            // A client tries each of its routers once, and this carrier repeats. The others try
            // for ever in the background.
            "timeout_ms": if client { 0 } else { -1 },
            "exit_on_failure": client,
            "retry": {
                "period_init_ms": millis(RETRY), "period_max_ms": millis(RETRY), "period_increase_factor": 1,
            },
        },
        "open": { "return_conditions": { "connect_scouted": false, "declares": false } },
        "scouting": { "delay": 0, "multicast": { "enabled": false }, "gossip": { "enabled": false } },
        "access_control": access_control(options),
        "adminspace": { "enabled": false },
        "transport": {
            "unicast": {
                "open_timeout": millis(options.connect_timeout),
                "lowlatency": false,
                "compression": { "enabled": options.compress },
            },
            "link": {
                "tx": { "lease": millis(LEASE), "keep_alive": 4 },
                "rx": { "max_message_size": MAX_REPLY_BYTES + 4096 },
                "tls": tls.unwrap_or_else(|| serde_json::json!({})),
            },
            "shared_memory": { "enabled": false },
        },
    });
    zenoh::Config::from_json5(&text.to_string()).map_err(|problem| CarrierError::Open {
        host: options.host.clone(),
        listen: options.listen.clone(),
        problem: problem.to_string(),
    })
}

/// The keys that each host may declare, by the common names of certificates.
fn access_control(options: &ZenohOptions) -> serde_json::Value {
    let every = format!("{PREFIX}**");
    let declare = ["declare_queryable", "liveliness_token", "reply"];
    let rule = |id: &str, flow: &str, messages: &[&str], keys: &[String]| {
        serde_json::json!({
            "id": id, "flows": [flow], "messages": messages, "key_exprs": keys, "permission": "allow",
        })
    };
    let ask = ["query", "liveliness_query", "declare_liveliness_subscriber"];
    let mut rules = vec![
        rule("ask", "ingress", &ask, std::slice::from_ref(&every)),
        rule("send", "egress", &[&ask[..], &declare].concat(), std::slice::from_ref(&every)),
    ];
    let mut subjects = vec![serde_json::json!({ "id": "all" })];
    let mut policies = vec![serde_json::json!({ "rules": ["ask", "send"], "subjects": ["all"] })];
    let hosts = options.hosts.iter().map(|host| (host, vec![keys_of(host)]));
    let routers = options.routers.iter().map(|router| (router, vec![every.clone()]));
    for (number, (name, keys)) in hosts.chain(routers).enumerate() {
        let id = number.to_string();
        rules.push(rule(&id, "ingress", &declare, &keys));
        subjects.push(serde_json::json!({ "id": id, "cert_common_names": [name] }));
        policies.push(serde_json::json!({ "rules": [id], "subjects": [id] }));
    }
    serde_json::json!({
        "enabled": !options.hosts.is_empty(),
        "default_permission": "deny",
        "rules": rules,
        "subjects": subjects,
        "policies": policies,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
