//! What must hold in the end.

use std::time::Duration;

use super::{FAULTS, World, epoch_of};
use crate::network::Faults;

/// So many events are far more than it takes until all copies are current.
const MAX_EVENTS: u64 = 20_000_000;

impl World {
    /// Nothing happens any more, and the network is whole: all copies become current.
    pub fn settle(&mut self) {
        FAULTS.set(self.network.count);
        self.network.cut.clear();
        self.network.faults = Faults::NONE;
        let had_failures = self.failing.replace(0) > 0;
        for host in 0..self.hosts.len() {
            if !self.hosts[host].is_up {
                self.start(host);
            }
        }
        // What could not be applied is asked for again after at most five minutes.
        let patience = Duration::from_secs(if had_failures { 320 } else { 16 });
        let (end, mut looked_at) = (self.network.now + patience, Duration::ZERO);
        for events in 0.. {
            assert!(
                events < MAX_EVENTS,
                "the hosts never rest: {events} events until {:?}",
                self.network.now
            );
            self.event();
            let now = self.network.now;
            let is_over = now >= end;
            if is_over || now >= looked_at + Duration::from_millis(500) {
                looked_at = now;
                (0..self.hosts.len()).for_each(|host| self.check(host));
                match self.difference() {
                    None => return self.check_clocks(),
                    Some(difference) => assert!(!is_over, "after {patience:?}: {difference}"),
                }
            }
        }
    }

    /// Each sink knows the clock of its origin as well as it says.
    fn check_clocks(&self) {
        for (at, (origin, sink)) in
            self.hosts.iter().enumerate().flat_map(|(at, host)| host.sinks.iter().map(move |it| (at, it)))
        {
            let Some((trip, epoch)) = sink.clock() else { continue };
            let error = epoch.abs_diff(i64::try_from(epoch_of(*origin).as_micros()).unwrap());
            assert!(
                Duration::from_micros(error) <= trip / 2 + Duration::from_micros(2),
                "h{at} of h{origin}"
            );
        }
    }

    /// A copy that is not what its origin has.
    fn difference(&self) -> Option<String> {
        for (at, host) in self.hosts.iter().enumerate() {
            let memory = host.copying.memory.borrow();
            for (origin, copying) in host.origins.iter().zip(&host.wants) {
                let of = format!("h{origin}");
                let workers = &self.hosts[*origin].workers;
                for ((namespace, name), truth) in workers {
                    if !copying.wants(namespace, name) {
                        continue;
                    }
                    let truth = truth.borrow();
                    let key = (of.clone(), (*namespace).into(), (*name).into());
                    let Some(copy) = memory.get(&key) else {
                        return Some(format!("h{at} has no {of}/{namespace}/{name}"));
                    };
                    let copy = copy.borrow();
                    let is_same = (copy.instance, copy.publication) == (truth.instance, truth.publication())
                        && copy.status.map(|it| (it.pid, it.writer))
                            == Some((truth.status.pid, truth.status.writer));
                    if !is_same || copy.is_unreachable {
                        return Some(format!(
                            "h{at}: {of}/{namespace}/{name} is {} of {}, {:?}, unreachable {}; there it is {} of {}, {:?}",
                            copy.publication,
                            copy.instance,
                            copy.status.map(|status| status.writer),
                            copy.is_unreachable,
                            truth.publication(),
                            truth.instance,
                            truth.status.writer
                        ));
                    }
                }
                let is_extra = |(host, namespace, name): &&(String, String, String)| {
                    let is_there = workers.contains_key(&(&**namespace, &**name));
                    *host == of && !(is_there && copying.wants(namespace, name))
                };
                if let Some((_, namespace, name)) = memory.keys().find(is_extra) {
                    return Some(format!("h{at} still has {of}/{namespace}/{name}"));
                }
            }
        }
        None
    }
}
