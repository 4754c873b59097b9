//! How fast who waits is woken: `cargo bench --bench waiting`.
//!
//! Two processes, each on a processor of its own where there are two, answer each other: a publication on one channel, and
//! one on another channel as the answer. Half of the time from the first to the answer's arrival is a *hop*: publishing,
//! waking, waiting. Beside it the least that an operating system can do: two words of shared memory and bare futex calls.
//! The contestants take turns in one run; what counts is the ratio to the futex.
//!
//! With `--test`, or without `--bench`, all of it for a moment only, and nothing is printed.

mod common;
#[path = "contended/cpus.rs"]
mod cpus;
#[path = "waiting/futex.rs"]
mod futex;
#[path = "waiting/player.rs"]
mod player;

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::{Arguments, histogram, nanos};
use cpus::Pair;
use hdrhistogram::Histogram;
use player::{Game, Player};
use tearless::Namespace;

const GAME: &str = "TEARLESS_BENCH_GAME";
const NAMESPACE: &str = "TEARLESS_BENCH_NAMESPACE";
const CPU: &str = "TEARLESS_BENCH_CPU";

/// The contestants take turns so often, and each time do so many rounds.
const TURNS: usize = 10;
const ROUNDS: u64 = 5_000;
const ROUNDS_OF_A_TEST: u64 = 50;

/// A game, its partner, and what was measured.
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

/// The partner: answers until it is told to end.
fn play_along(game: Game, namespace: &str) {
    // It begins where its parent is pinned to.
    if let Some(cpu) = std::env::var(CPU).ok().and_then(|cpu| cpu.parse().ok()) {
        cpus::pin(cpu);
    }
    let mut player = Player::second(game, namespace);
    while player.answer() {}
}

impl Contest {
    fn begin(game: Game, namespace: &str, cpus: Option<Pair>) -> Contest {
        let namespace = format!("{namespace} {}", game.name());
        // The first player's side has to be there before the partner looks for it.
        let first = Player::first(game, &namespace);
        let mut partner = Command::new(std::env::current_exe().expect("the benchmark is a file"));
        partner.envs([(GAME, game.name()), (NAMESPACE, &namespace)]).stdin(Stdio::null());
        if let Some(pair) = cpus {
            partner.env(CPU, pair.writer.to_string());
        }
        let partner = partner.spawn().expect("the benchmark can be started again");
        let player = first.meet();
        Contest { game, player, partner, hops: histogram(), medians: Vec::new() }
    }

    fn take_turn(&mut self, rounds: u64) {
        let mut turn = histogram();
        for round in 0..rounds {
            let begin = Instant::now();
            self.player.ask();
            let hop = nanos(begin.elapsed()) / 2;
            // The first ones find the partner asleep from the last turn, and its pages cold.
            if round >= rounds / 10 {
                turn.saturating_record(hop);
            }
        }
        self.medians.push(turn.value_at_quantile(0.5));
        self.hops.add(turn).expect("both have the same bounds");
    }

    fn end(mut self) {
        self.player.end();
        assert!(self.partner.wait().expect("the partner is our child").success());
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
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| contest.hops.value_at_quantile(quantile));
        // Turn by turn, because the machine's speed changes.
        let mut ratios: Vec<f64> = contest
            .medians
            .iter()
            .zip(&contests[0].medians)
            .map(|(own, futex)| *own as f64 / *futex as f64)
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "{:<26} {p50:>9} {p99:>9} {p999:>9} {:>10.1} {:>14.2}",
            contest.game.name(),
            contest.hops.max() as f64 / 1e3,
            ratios[ratios.len() / 2]
        );
    }
}

/// The namespace of a game, which has it to itself.
fn open(namespace: &str) -> Namespace {
    Namespace::open(namespace).expect("the name is good")
}
