//! A dashboard of several hosts: all workers of a namespace, those of this host and those that
//! `tearless mirror` has brought, by one hub. `dashboard NAMESPACE`
//!
//! On the host of the dashboard, `tearless mirror --connect … --mirror '*/fleet/*'` runs; on the
//! others, `tearless mirror --listen … --publish 'fleet/*'`.

use std::time::Duration;

use tearless::{Bytes, Namespace, accept};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "fleet".into());
    let hub = Namespace::open(&name)?.hub_builder().codec::<Bytes>().accept(accept::Any).open();
    let mut workers = hub.select("*");
    loop {
        println!("{:<24} {:>12} {:>10} {:<12} health", "channel", "publication", "bytes", "age");
        for worker in workers.iter::<Vec<u8>>()? {
            let health = hub.status(worker.channel)?.health;
            match worker.state {
                Ok(state) => {
                    let here = state.publication();
                    let number = state.origin().map_or(here, |origin| origin.publication());
                    let age = state.age().map_or("unknown".into(), |age| format!("{age:.1?}"));
                    println!(
                        "{:<24} {number:>12} {:>10} {age:<12} {}",
                        worker.channel,
                        state.len(),
                        health.name()
                    );
                }
                Err(error) => println!("{:<24} {error}", worker.channel),
            }
        }
        println!();
        std::thread::sleep(Duration::from_secs(1));
    }
}
