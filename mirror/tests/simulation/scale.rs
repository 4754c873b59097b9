//! What a mirror carries, beside what docs/mirror.md says: the table there is printed here.
//! `TEARLESS_LONG=1` adds what takes longer.

use std::time::Duration;

use tearless_mirror::sink::Options;

use crate::fleet::{Figures, Fleet};

const MBYTE: u64 = 1_000_000;

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Fleet {
    /// The narrowest of the links that all readers, or all origins, share.
    fn narrowest(&self) -> f64 {
        let router = if self.routers > 0 { self.router_link } else { u64::MAX };
        let per_reader = router.min(self.reader_link * self.readers as u64);
        per_reader.min(self.origin_link * self.origins as u64) as f64
    }

    /// Bytes on the link until each reader has each channel once.
    fn bytes_of_all(&self) -> f64 {
        let round = self.channels * (self.state + 20) + 150;
        (self.readers * (self.origins - self.dead) * round) as f64 * 1.04
    }

    /// Within this time every channel is current, whatever the rate of changes.
    fn cycle(&self) -> Duration {
        Duration::from_secs_f64(self.bytes_of_all() / self.narrowest())
    }

    /// Bytes a second that are there to be sent, as a share of the narrowest link.
    fn load(&self) -> f64 {
        self.period.map_or(0.0, |period| self.cycle().as_secs_f64() / period.as_secs_f64())
    }

    /// Measures for at least two cycles, and checks what holds of every fleet.
    fn measure(&self, what: &str) -> Figures {
        let cycle = self.cycle();
        let figures = self.run((cycle * 2).max(milliseconds(2000)));
        println!(
            "{what:<32} {:>5} {:>4} {:>2} {:>6.2} {:>8.0} {:>8.0} {:>7.0} {:>7.0} {:>7.0} {:>6.0} {:>6.0}",
            self.origins,
            self.readers,
            self.routers,
            self.load(),
            figures.rounds,
            (figures.down + figures.up) / 1e3,
            figures.joined.map_or(f64::INFINITY, in_milliseconds),
            in_milliseconds(cycle),
            in_milliseconds(figures.median),
            in_milliseconds(figures.worst),
            in_milliseconds(figures.queue),
        );
        // Readers that share a link only have its delay in common.
        let others = if self.readers > 1 { 1000 } else { 0 };
        let within = |times: u32, least: u64| cycle * times + milliseconds(least + others);
        assert!(figures.joined.is_some_and(|joined| joined <= within(3, 1000)), "a copy has no state");
        assert!(figures.worst <= within(3, 500), "a copy is {:?} behind", figures.worst);
        assert!(figures.median <= within(1, 100), "half of the copies are {:?} behind", figures.median);
        // The mirror of a host that answers is patient enough, and the engine's queues stay short.
        assert!(figures.queue < milliseconds(1500), "a message waits {:?} for a link", figures.queue);
        assert_eq!((figures.failed, figures.unreachable), (0, 0), "requests fail");
        assert!(figures.most <= 3 * figures.fewest + 3, "{} states to {}", figures.fewest, figures.most);
        figures
    }
}

#[test]
fn a_mirror_carries_what_the_formula_says() {
    let is_long = std::env::var("TEARLESS_LONG").is_ok();
    println!(
        "{:<32} {:>5} {:>4} {:>2} {:>6} {:>8} {:>8} {:>7} {:>7} {:>7} {:>6} {:>6}",
        "10 channels of 256 bytes",
        "hosts",
        "by",
        "r.",
        "load",
        "rounds/s",
        "kB/s",
        "joined",
        "formula",
        "median",
        "worst",
        "queue"
    );
    for origins in [10, 100, 1000] {
        let fleet = Fleet { origins, ..Fleet::default() };
        for routers in 0..3 {
            let figures = Fleet { routers, ..fleet.clone() }.measure("idle");
            let each = (figures.up + figures.down) / origins as f64;
            assert!(each < 800.0, "an idle host costs {each} bytes a second");
        }
        let busy = Fleet { routers: 1, period: Some(milliseconds(1000)), ..fleet.clone() };
        busy.measure("1 Hz, 1 Gbit/s");
        if is_long {
            Fleet { period: Some(milliseconds(100)), ..busy.clone() }.measure("10 Hz, 1 Gbit/s");
            Fleet { state: 1000, reader_link: MBYTE, ..busy.clone() }.measure("1 Hz, 1000 bytes, 1 MB/s");
            // Asked for in pieces.
            let state = 100_000_000 / origins;
            Fleet { state, reader_link: 100 * MBYTE, ..busy.clone() }.measure("1 Hz, large, 100 MB/s");
        }
        let narrow = Fleet { period: Some(milliseconds(100)), reader_link: MBYTE, ..busy };
        let figures = narrow.measure("10 Hz, reader at 1 MB/s");
        assert!(narrow.load() < 1.0 || figures.down > 0.6e6, "the link is not used: {}", figures.down);
        let dead = Fleet { dead: origins / 2, ..narrow.clone() };
        dead.measure("half of them dead");
        Fleet { refuses: true, ..dead }.measure("half of them refuse");
        let router = Fleet { router_link: MBYTE, routers: 2, ..narrow };
        Fleet { reader_link: 125 * MBYTE, ..router }.measure("10 Hz, routers at 1 MB/s");
    }
    // Where it saturates: at a load of 1.
    for period in [500, 333, 286, 250, 125] {
        let fleet = Fleet { origins: 100, routers: 1, reader_link: MBYTE, ..Fleet::default() };
        Fleet { period: Some(milliseconds(period)), ..fleet }.measure("reader at 1 MB/s");
    }
    for readers in [1, 10, 100] {
        let one = Fleet { origins: 1, readers, period: Some(milliseconds(100)), ..Fleet::default() };
        Fleet { origin_link: MBYTE, ..one.clone() }.measure("10 Hz, origin at 1 MB/s");
        if is_long {
            let many = Fleet { readers: readers * 10, ..one };
            many.measure("10 Hz, 1 Gbit/s");
            Fleet { origin_link: 4 * MBYTE, ..many }.measure("10 Hz, origin at 4 MB/s");
        }
    }
}

#[test]
fn a_host_pays_only_for_what_it_wants() {
    let all = Fleet { origins: 100, period: Some(milliseconds(100)), ..Fleet::default() };
    let (with, without) = (Fleet { wants: "*-summary", ..all.clone() }.run(milliseconds(2000)), all);
    let without = without.run(milliseconds(2000));
    println!("one channel of ten: {:.0} of {:.0} kB/s", with.down / 1e3, without.down / 1e3);
    assert!(with.worst <= milliseconds(10) && with.down < without.down / 5.0);
}

#[test]
fn a_rate_is_kept() {
    let options = Options { rate: Some(100_000), ..Options::default() };
    for state in [256, 2_000, 20_000] {
        let period = Some(milliseconds(20));
        let figures =
            Fleet { origins: 1, state, period, options, ..Fleet::default() }.run(milliseconds(5000));
        println!("{state} bytes, at most 100 kB/s of replies: {:.0} kB/s", figures.down / 1e3);
        assert!((70e3..115e3).contains(&figures.down), "{} bytes a second", figures.down);
    }
}

#[test]
fn an_origin_on_a_slow_link_of_its_own_slows_down_no_other() {
    let is_long = std::env::var("TEARLESS_LONG").is_ok();
    let links: &[u64] =
        if is_long { &[10_000, 20_000, 50_000, 100_000, 200_000, 500_000] } else { &[50_000, 100_000] };
    for (origins, state) in [(2, 20_000), (2, 60_000), (3, 20_000), (10, 20_000), (10, 60_000)] {
        // Its states fill any of these links, in pieces.
        let one = Fleet { origins, state, slow: 1, slow_state: 200_000, ..Fleet::default() };
        let all = Fleet { period: Some(milliseconds(1000)), ..one };
        let without = all.run(milliseconds(20_000));
        for slow_link in links.iter().copied() {
            let with = Fleet { slow_link, ..all.clone() }.run(milliseconds(20_000));
            println!(
                "{origins} hosts, {state} bytes, one at {slow_link} B/s: the others are {:?} behind, not {:?}",
                with.worst, without.worst
            );
            assert!(with.worst <= without.worst + milliseconds(100), "{:?} behind", with.worst);
            assert!(with.slow > 0.8 * slow_link as f64, "{} bytes a second of its link", with.slow);
        }
    }
}
