//! `tearless ls`: the channels of a namespace.

use anstyle::Style;
use clap::Args;
use serde_json::{Value, json};
use tearless::{
    Namespace,
    error::AttachError,
    inspect::{ChannelInfo, Inspection},
};

use crate::context::Context;
use crate::error::Failure;
use crate::health;
use crate::output::{Alignment, Table, ago, bytes, print_json, rate, state_style, state_text, style};
use crate::resolve;

/// Lists the channels of a namespace: who writes them, and since when nothing has come
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless ls
  tearless -n fleet ls 'worker-*'
  tearless ls --json | jq -r 'select(.writer == \"dead\") | .channel'

WRITER is alive, stopped (by a signal or a debugger), stalled (it lives, but was silent for 3 of the \
intervals that it promised), dead, closed (the last state was left on purpose), or unknown (in another PID \
namespace). RATE/s is by the publications that the channel still holds, \
which are few: bursts look faster than they are on the average; `tearless top` measures it.

Keys of --json, one object a channel; null is what is not known:
  channel, writer, pid, incarnation (how many writers it has had), published
  (number of the last publication), age_seconds, rate (publications a second,
  by those that the channel still holds), bytes (of the last state),
  heartbeat_seconds, codec, type_name, limit (bytes of a
  state at most)

Exit codes: 0, also when none fits the pattern; 3 no such namespace")]
pub(crate) struct LsArguments {
    /// Only channels whose names fit; `*` stands for any characters, `?` for any one
    pattern: Option<String>,
}

pub(crate) fn run(arguments: &LsArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    let entries = entries(&namespace, arguments, context)?;
    if context.json {
        for entry in &entries {
            print_json(&entry.document())?;
        }
        return Ok(());
    }
    let mut table = Table::new(&[
        ("CHANNEL", Alignment::Left),
        ("WRITER", Alignment::Left),
        ("PID", Alignment::Right),
        ("PUBLISHED", Alignment::Right),
        ("LAST", Alignment::Right),
        ("RATE/s", Alignment::Right),
        ("SIZE", Alignment::Right),
        ("CODEC", Alignment::Left),
        ("TYPE", Alignment::Left),
    ]);
    for entry in &entries {
        table.row(entry.cells());
    }
    Ok(table.print()?)
}

fn entries(namespace: &Namespace, arguments: &LsArguments, context: &Context) -> Result<Vec<Entry>, Failure> {
    let mut channels = namespace.channels()?;
    if channels.is_empty() {
        // Maybe there is one, whose last channel has just gone.
        resolve::no_such_namespace(namespace, &context.trust).map_or(Ok(()), Err)?;
    }
    if let Some(pattern) = &arguments.pattern {
        channels.retain(|info| resolve::fits(pattern, &info.name));
    }
    let (mut entries, mut missing) = (Vec::new(), Vec::new());
    for info in channels {
        match health::inspect(namespace, &info.name) {
            Err(AttachError::NotFound { .. }) => missing.push(info),
            inspected => entries.push(Entry { info, inspection: inspected.ok() }),
        }
    }
    // Others went between the list and the look.
    let nameless = health::nameless(namespace, missing)?.into_iter();
    entries.extend(nameless.map(|info| Entry { info, inspection: None }));
    entries.sort_by(|one, other| one.info.name.cmp(&other.info.name));
    Ok(entries)
}

/// A channel, by its entry in the table and, unless it is gone by now, by what stands in its memory.
struct Entry {
    info: ChannelInfo,
    inspection: Option<Inspection>,
}

impl Entry {
    fn word(&self) -> &'static str {
        self.inspection.as_ref().map_or_else(|| state_text(self.info.writer_state()), health::writer_word)
    }

    fn style(&self) -> Style {
        self.inspection.as_ref().map_or_else(|| state_style(self.info.writer_state()), health::writer_style)
    }

    fn document(&self) -> Value {
        let inspection = self.inspection.as_ref();
        let latest = inspection.and_then(health::latest);
        json!({
            "channel": self.info.name,
            "writer": self.word(),
            "pid": self.info.writer_pid,
            "incarnation": self.info.incarnation,
            "published": inspection.map(|inspection| inspection.published),
            "age_seconds": latest.and_then(|slot| slot.age).map(|age| age.as_secs_f64()),
            "rate": inspection.and_then(health::rate),
            "bytes": latest.map(|slot| slot.len),
            "heartbeat_seconds":
                inspection.and_then(|inspection| inspection.heartbeat).map(|age| age.as_secs_f64()),
            "codec": self.info.codec,
            "type_name": inspection.map(|inspection| &inspection.type_name),
            "limit": self.info.limit,
        })
    }

    fn cells(&self) -> [(String, Style); 9] {
        let inspection = self.inspection.as_ref();
        let latest = inspection.and_then(health::latest);
        let dash = || "-".to_owned();
        let plain = |text: Option<String>| (text.unwrap_or_else(dash), style::PLAIN);
        [
            (self.info.name.clone(), style::STRONG),
            (self.word().into(), self.style()),
            (self.info.writer_pid.to_string(), style::PLAIN),
            plain(inspection.map(|inspection| inspection.published.to_string())),
            (ago(latest.and_then(|slot| slot.age)), style::PLAIN),
            plain(inspection.and_then(health::rate).map(rate)),
            plain(latest.map(|slot| bytes(slot.len))),
            (self.info.codec.clone(), style::DIM),
            plain(inspection.map(|inspection| inspection.type_name.clone())),
        ]
    }
}
