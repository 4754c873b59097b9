//! The writer's process: this program again, with environment variables that say what to publish; and the reader's
//! handle on it.
//!
//! The writer is ready after its first publication. It publishes until the first order or the end of its input, answers
//! with the number of its last publication, and closes the channel when its input ends.

use std::env;
use std::time::Instant;

use tearless::{Namespace, Pod};
use testkit::child::{self, Child, Input};

use super::common::{await_tick, boxed};
use super::cpus::{self, Pair};
use super::scenario::{Scenario, word_of};

/// The name of every channel here; the namespace is the process's own.
pub(crate) const CHANNEL: &str = "state";

const NAMESPACE: &str = "TEARLESS_BENCH_NAMESPACE";
const SCENARIO: &str = "TEARLESS_BENCH_SCENARIO";
const CPU: &str = "TEARLESS_BENCH_CPU";

/// The writer's process as the reader's process sees it. When this is dropped, the process has ended and its channel is
/// removed.
pub(crate) struct WriterProcess {
    /// `None` after the end.
    process: Option<Child>,
    namespace: Namespace,
}

impl WriterProcess {
    /// Starts the process, and waits for its first publication.
    pub(crate) fn start(namespace: &Namespace, scenario: Scenario, cpus: Option<Pair>) -> WriterProcess {
        let mut command = Child::this_program();
        command.env(NAMESPACE, namespace.name()).env(SCENARIO, scenario.to_words());
        if let Some(pair) = cpus {
            command.env(CPU, pair.writer.to_string());
        }
        WriterProcess { process: Some(Child::start_ready(command)), namespace: namespace.clone() }
    }

    /// Ends the publications. Returns the number of the last one, which stays readable.
    pub(crate) fn stop(&mut self) -> u64 {
        let process = self.process.as_mut().expect("the process has not ended yet");
        process.ask("stop").parse().expect("the writer answers with a number")
    }

    /// Ends the process, which closes its channel.
    pub(crate) fn end(mut self) {
        self.process.take().expect("the process has not ended yet").finish();
        assert!(!self.namespace.remove_channel(CHANNEL).unwrap(), "the writer left its channel behind");
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
            let _ = self.namespace.remove_channel(CHANNEL);
        }
    }
}

/// In the writer's process: publishes until the order to stop. `false` in any other process.
pub(crate) fn run_if_told() -> bool {
    let (Ok(namespace), Ok(scenario)) = (env::var(NAMESPACE), env::var(SCENARIO)) else { return false };
    let scenario: Scenario = scenario.parse().unwrap();
    if let Some(cpu) = env::var(CPU).ok().and_then(|cpu| cpu.parse().ok()) {
        cpus::pin(cpu);
    }
    let namespace = Namespace::open(&namespace).unwrap();
    match scenario.words {
        8 => publish::<8>(&namespace, scenario),
        128 => publish::<128>(&namespace, scenario),
        8192 => publish::<8192>(&namespace, scenario),
        words => panic!("there is no scenario of {words} words"),
    }
    true
}

fn publish<const WORDS: usize>(namespace: &Namespace, scenario: Scenario) {
    let mut builder = namespace.writer_builder::<[u64; WORDS]>(CHANNEL).codec::<Pod>();
    if let Some(depth) = scenario.depth {
        builder = builder.slots(2 * depth);
    }
    let mut writer = builder.open().unwrap();
    let mut state = boxed::<WORDS>(|_| word_of(1));
    let mut last = writer.publish(&state).unwrap();
    child::ready();
    let input = Input::listen();
    let mut next = Instant::now();
    while !input.has_spoken() {
        if let Some(period) = scenario.pace.period() {
            next = await_tick(next, period);
        }
        state.fill(word_of(last + 1));
        last = writer.publish(&state).unwrap();
    }
    child::say(&last.to_string());
    input.wait_for_end();
    writer.close().unwrap();
}
