//! The child processes: their task, and how they do it.

use serde_json::{Value, json};
use tearless::Namespace;

use super::tally::Tally;
use super::{reader, writer};
use crate::child::{Lifetime, say, text};

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Writes every channel whose number leaves `index` when divided by `writers`. `life` is 1 for the first
    /// process in this role, and one more for each successor.
    Writer { index: usize, writers: usize, life: u64 },
    /// Reads all channels, beginning with number `first`.
    Reader { first: usize },
}

/// The namespace of a run, and the seed of its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) namespace: String,
    pub(super) seed: u64,
}

impl Task {
    /// The hidden argument of a child.
    pub(super) fn to_argument(&self, role: Role) -> String {
        let Task { namespace, seed } = self;
        let argument = match role {
            Role::Writer { index, writers, life } => {
                json!({"namespace": namespace, "seed": seed, "index": index, "writers": writers, "life": life})
            }
            Role::Reader { first } => json!({"namespace": namespace, "seed": seed, "first": first}),
        };
        argument.to_string()
    }

    fn from_argument(argument: &str) -> Option<(Task, Role)> {
        let value: Value = serde_json::from_str(argument).ok()?;
        let number = |name: &str| value.get(name)?.as_u64();
        let index = |name: &str| usize::try_from(number(name)?).ok();
        let task = Task { namespace: value.get("namespace")?.as_str()?.into(), seed: number("seed")? };
        let role = match index("first") {
            Some(first) => Role::Reader { first },
            None => Role::Writer {
                index: index("index")?,
                writers: index("writers")?.max(1),
                life: number("life")?,
            },
        };
        Some((task, role))
    }
}

/// Does a child's work, until its standard input ends.
///
/// # Errors
///
/// What went wrong, in words.
pub(super) fn run(argument: &str) -> Result<(), String> {
    let (task, role) = Task::from_argument(argument).ok_or("no task of `tearless verify`")?;
    let namespace = Namespace::open(&task.namespace).map_err(text)?;
    let lifetime = Lifetime::begin();
    let done = match role {
        Role::Writer { index, writers, life } => {
            let share = writer::Share { index, writers, life };
            writer::run(share, &namespace, task.seed, &lifetime)
        }
        Role::Reader { first } => {
            reader::run(first, &namespace, task.seed, &lifetime).map(|tallies| report(&tallies))
        }
    };
    lifetime.clean_if_orphaned(&namespace);
    done
}

/// Reports the counts of each combination to the parent.
fn report(tallies: &[Tally]) {
    say(&Value::from_iter(tallies.iter().map(Tally::to_json)).to_string());
}

#[test]
fn a_task_comes_back_from_its_argument() {
    let task = Task { namespace: "verify \"1\"".into(), seed: u64::MAX };
    for role in [Role::Reader { first: 2 }, Role::Writer { index: 1, writers: 3, life: 9 }] {
        assert_eq!(Task::from_argument(&task.to_argument(role)), Some((task.clone(), role)));
    }
    assert_eq!(Task::from_argument("{}"), None);
}
