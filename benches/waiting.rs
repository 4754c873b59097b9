//! How long a wake-up takes: `cargo bench --bench waiting`.
//!
//! Two processes, each on a processor of its own where there are two, answer each other: a publication on one channel, and
//! one on another channel as the answer. Half of the time from the first to the answer's arrival is a *hop*: publishing,
//! waking, waiting. The lower bound stands beside it: two words of shared memory and bare futex calls. The contestants take
//! turns in one run; the ratio to the futex is what matters.
//!
//! With `--test`, or without `--bench`, everything runs for a moment only, and no figures are printed.

mod common;
#[path = "contended/cpus.rs"]
mod cpus;
#[path = "waiting/futex.rs"]
mod futex;
#[path = "waiting/player.rs"]
mod player;

use std::time::Instant;

use common::{Arguments, histogram, nanos};
use cpus::Pair;
use player::{Game, Player};
use tearless::Namespace;
use testkit::child::Child;
use testkit::stats::{Histogram, median, quantiles};

const GAME: &str = "TEARLESS_BENCH_GAME";
const NAMESPACE: &str = "TEARLESS_BENCH_NAMESPACE";
const CPU: &str = "TEARLESS_BENCH_CPU";

/// Turns of each contestant, and rounds in each turn.
const TURNS: usize = 10;
const ROUNDS: u64 = 5_000;
const ROUNDS_OF_A_TEST: u64 = 50;

/// A game, its partner, and its figures.
struct Contest {
    game: Game,
    player: Player,
    partner: Child,
    hops: Histogram<u64>,
    medians: Vec<u64>,
}

fn main() {
    if let Ok(game) = std::env::var(GAME) {
        let namespace = std::env::var(NAMESPACE).expect("a game comes with a namespace");
        return play_along(Game::of(&game), &namespace);
    }
    let arguments = Arguments::read();
    let cpus = cpus::pair();
    if let Some(pair) = cpus {
        cpus::pin(pair.reader);
    }
    if arguments.measure {
        common::print_machine();
        eprintln!("pinning       {}", cpus::describe(cpus));
    }
    let namespace = common::unique_namespace("waiting");
    let wanted = |game: &Game| arguments.filter.as_ref().is_none_or(|filter| game.name().contains(filter));
    let games = Game::all().into_iter().filter(wanted);
    let mut contests: Vec<Contest> = games.map(|game| Contest::begin(game, &namespace, cpus)).collect();
    for _ in 0..if arguments.measure { TURNS } else { 1 } {
        for contest in &mut contests {
            contest.take_turn(if arguments.measure { ROUNDS } else { ROUNDS_OF_A_TEST });
        }
    }
    report(&contests, arguments.measure);
    contests.into_iter().for_each(Contest::end);
}

/// The partner: answers until the end of the game.
fn play_along(game: Game, namespace: &str) {
    // The process begins on the CPU that its parent is pinned to.
    if let Some(cpu) = std::env::var(CPU).ok().and_then(|cpu| cpu.parse().ok()) {
        cpus::pin(cpu);
    }
    let mut player = Player::second(game, namespace);
    while player.answer() {}
}

impl Contest {
    fn begin(game: Game, namespace: &str, cpus: Option<Pair>) -> Contest {
        let namespace = format!("{namespace} {}", game.name());
        // The partner attaches to the first player's side, which must exist before.
        let first = Player::first(game, &namespace);
        let mut partner = Child::this_program();
        partner.envs([(GAME, game.name()), (NAMESPACE, &namespace)]);
        if let Some(pair) = cpus {
            partner.env(CPU, pair.writer.to_string());
        }
        // The partner reads no input, so an interrupt from the keyboard must reach it.
        let partner = Child::start_in_group(partner);
        let player = first.meet();
        Contest { game, player, partner, hops: histogram(), medians: Vec::new() }
    }

    fn take_turn(&mut self, rounds: u64) {
        let mut turn = histogram();
        for round in 0..rounds {
            let begin = Instant::now();
            self.player.ask();
            let hop = nanos(begin.elapsed()) / 2;
            // In the first rounds the partner sleeps since the last turn, and its pages are cold.
            if round >= rounds / 10 {
                turn.saturating_record(hop);
            }
        }
        self.medians.push(turn.value_at_quantile(0.5));
        self.hops.add(turn).expect("both have the same bounds");
    }

    fn end(mut self) {
        self.player.end();
        self.partner.finish();
    }
}

fn report(contests: &[Contest], measured: bool) {
    if !measured {
        contests.iter().for_each(|contest| println!("{}: ok", contest.game.name()));
        return;
    }
    println!(
        "{:<26} {:>9} {:>9} {:>9} {:>10} {:>14}",
        "hop", "p50 ns", "p99 ns", "p99.9 ns", "max µs", "ratio by turn"
    );
    for contest in contests {
        let [p50, p99, p999] = quantiles(&contest.hops, [0.5, 0.99, 0.999]);
        // Each turn has its own ratio, because the machine's speed changes.
        let mut ratios: Vec<f64> = contest
            .medians
            .iter()
            .zip(&contests[0].medians)
            .map(|(own, futex)| *own as f64 / *futex as f64)
            .collect();
        println!(
            "{:<26} {p50:>9} {p99:>9} {p999:>9} {:>10.1} {:>14.2}",
            contest.game.name(),
            contest.hops.max() as f64 / 1e3,
            median(&mut ratios)
        );
    }
}

/// The namespace of a game, which no other game uses.
fn open(namespace: &str) -> Namespace {
    Namespace::open(namespace).expect("the name is good")
}
