//! `tearless ls`: the channels and blocks of a namespace.

use std::io::Write;
use std::path::PathBuf;

use anstyle::Style;
use clap::Args;
use serde_json::{Value, json};
use tearless::{
    Namespace,
    error::AttachError,
    hub::{Health, Pattern},
    inspect::{ChannelInfo, Inspection},
    saved::{Saved, SavedChannel},
};

use super::saved;
use crate::blocks;
use crate::context::Context;
use crate::error::Failure;
use crate::health;
use crate::output::{
    Table, ago, bytes, clock, plain, print_all_json, printable, rate, seconds, stderr, style, timestamp,
};
use crate::resolve;

/// Lists the channels of a namespace, their writers and the age of their latest states; then its
/// blocks
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless ls
  tearless -n fleet ls 'worker-*'
  tearless ls --from report.saved
  tearless ls --json | jq -r 'select(.writer == \"dead\") | .channel'

WRITER is alive, stopped (by a signal or a debugger, or its control group is frozen), stalled (alive, but silent \
for 3 of the intervals that it promised; time for which the machine slept does not count), dead (it was killed or \
crashed), exited (without closing the channel), closed (it left the last state on purpose), unknown (its state \
can't be seen from here), or unreachable (there is no news of the host that the channel mirrors, or its mirror here \
is not at work). AT is UTC, by the clock as it is set now. RATE/s is calculated from the few publications \
that the channel still holds, so a burst looks faster than the average; `tearless top` measures the rate. VIEWS, where a \
channel has pins: how many are taken, also by readers that were killed. A sealed channel has no name, and is not listed.

Keys of --json, one object a channel; null: unknown:
  channel, writer, pid, incarnation (number of writers so far), publication (number of the last one), age_seconds, \
published_at (UTC), rate (publications a second, from those that the channel still holds), bytes (of the last \
state), heartbeat_age_seconds, codec, type_name, max_state_len (in bytes), pins (views in place that there can be), \
views (pins that are taken), origin (of a mirrored channel: host, publication, instance, incarnation, pid, \
news_age_seconds; else null; then pid and incarnation are those of the mirror)

Keys of --json, then one object a block:
  block, owner_state (as WRITER), pid, created_seconds, bytes, resident (bytes of memory), label, instance, owner \
(numeric id of the user), permissions (octal), object (file in the directory)

Exit codes: 0, also if no channel matches the pattern; 3 no such namespace")]
pub(crate) struct LsArguments {
    /// Only channels and blocks whose names match; `*` matches any characters, `?` matches one
    pattern: Option<String>,
    /// Lists the channels of a file of `tearless save`, as they were then
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    from: Option<PathBuf>,
}

pub(crate) fn run(arguments: &LsArguments, context: &Context) -> Result<(), Failure> {
    let pattern = arguments.pattern.as_deref().map(Pattern::new);
    let saved = arguments.from.as_ref().map(Saved::open).transpose()?;
    let (entries, blocks) = match &saved {
        Some(saved) => (entries_of_saved(saved, pattern.as_ref()), Vec::new()),
        None => {
            let namespace = context.namespace()?;
            let entries = entries(&namespace, pattern.as_ref(), context)?;
            (entries, blocks::matching(&namespace, pattern.as_ref())?)
        }
    };
    if let Some(saved) = saved.as_ref().filter(|_| !context.json) {
        let dim = style::DIM;
        stderr(format_args!("{dim}saved {}{dim:#}", printable(&saved::origin(saved))));
    }
    if context.json {
        let documents = entries.iter().map(Entry::document).chain(blocks.iter().map(blocks::document));
        return Ok(print_all_json(documents)?);
    }
    if entries.is_empty() && !blocks.is_empty() {
        return Ok(blocks::table(&blocks).print()?);
    }
    let columns =
        ["CHANNEL", "WRITER", ">PID", ">PUBLICATION", ">LAST", ">AT", ">RATE/s", ">SIZE", "CODEC", "TYPE"];
    let views = entries.iter().any(|entry| entry.pins().is_some()).then_some(">VIEWS");
    let rows = entries.iter().map(|entry| entry.cells().into_iter().chain(views.map(|_| entry.views())));
    Table::new(columns.into_iter().chain(views), rows).print()?;
    if !blocks.is_empty() {
        writeln!(anstream::stdout())?;
        blocks::table(&blocks).print()?;
    }
    if entries.is_empty() {
        let text = match arguments.pattern {
            Some(_) if saved.is_some() => "no channel matches: patterns match whole names",
            Some(_) => "no channel or block matches: patterns match whole names",
            None if saved.is_some() => "the file has no channels",
            None => "the namespace lists no channels: `tearless doctor` finds those that lost their list",
        };
        stderr(format_args!("{text}"));
    }
    Ok(())
}

fn entries_of_saved(saved: &Saved, pattern: Option<&Pattern>) -> Vec<Entry> {
    let matches = |it: &&SavedChannel| pattern.is_none_or(|pattern| pattern.matches(it.name()));
    saved.channels().iter().filter(matches).map(Entry::saved).collect()
}

fn entries(
    namespace: &Namespace,
    pattern: Option<&Pattern>,
    context: &Context,
) -> Result<Vec<Entry>, Failure> {
    let mut channels = resolve::channels(namespace, &context.directory)?;
    if let Some(pattern) = pattern {
        channels.retain(|info| pattern.matches(&info.name));
    }
    let (mut entries, mut missing) = (Vec::new(), Vec::new());
    for info in channels {
        match health::inspect(namespace, &info.name) {
            Err(AttachError::NotFound { .. }) => missing.push(info),
            inspected => entries.push(Entry::listed(info, inspected.ok(), true)),
        }
    }
    // Other missing channels were removed between listing and inspection.
    let nameless = health::nameless(namespace, missing)?.into_iter();
    entries.extend(nameless.map(|info| Entry::listed(info, None, false)));
    entries.sort_by(|one, other| one.channel.cmp(&other.channel));
    Ok(entries)
}

/// A channel: its entry in the registry, or in a file, and its inspection, unless it can't be read
/// or has been removed since.
struct Entry {
    channel: String,
    pid: u64,
    incarnation: u64,
    codec: String,
    max_state_len: u64,
    health: Option<Health>,
    inspection: Option<Inspection>,
}

impl Entry {
    /// `has_name`: whether there is an object of its name, which can't be read if there is no
    /// inspection.
    fn listed(info: ChannelInfo, inspection: Option<Inspection>, has_name: bool) -> Entry {
        let health = match &inspection {
            Some(inspection) => Some(inspection.health()),
            None if has_name => None,
            None => Some(health::of_process(info.writer_state())),
        };
        let (channel, pid, incarnation) = (info.name, info.writer_pid, info.incarnation);
        let (codec, max_state_len) = (info.codec, info.max_state_len);
        Entry { channel, pid, incarnation, codec, max_state_len, health, inspection }
    }

    fn saved(it: &SavedChannel) -> Entry {
        let it = &it.inspection;
        Entry {
            channel: it.channel.clone(),
            pid: it.writer_pid,
            incarnation: it.incarnation,
            codec: it.codec.clone(),
            max_state_len: it.max_state_len,
            health: Some(it.health()),
            inspection: Some(it.clone()),
        }
    }

    /// The pins that are held, and all; `None` on a channel without pins.
    fn pins(&self) -> Option<(usize, usize)> {
        health::views(&self.inspection.as_ref()?.pinned)
    }

    fn views(&self) -> (String, Style) {
        plain(self.pins().map_or_else(|| "-".into(), |(held, all)| format!("{held}/{all}")))
    }

    fn document(&self) -> Value {
        let inspection = self.inspection.as_ref();
        let latest = inspection.and_then(health::latest);
        json!({
            "channel": self.channel, "writer": health::word(self.health), "pid": self.pid,
            "incarnation": self.incarnation,
            "publication": inspection.map(|inspection| inspection.publication),
            "age_seconds": seconds(latest.and_then(|slot| slot.age)),
            "published_at": timestamp(latest.and_then(|slot| slot.published_at)),
            "rate": inspection.and_then(health::rate), "bytes": latest.map(|slot| slot.len),
            "heartbeat_age_seconds": seconds(inspection.and_then(|inspection| inspection.heartbeat_age)),
            "codec": self.codec, "type_name": inspection.map(|inspection| &inspection.type_name),
            "max_state_len": self.max_state_len,
            "pins": self.pins().map(|(_, all)| all), "views": self.pins().map(|(held, _)| held),
            "origin": inspection.map(health::origin_of),
        })
    }

    fn cells(&self) -> [(String, Style); 10] {
        let inspection = self.inspection.as_ref();
        let latest = inspection.and_then(health::latest);
        let known = |text: Option<String>| plain(text.unwrap_or_else(|| "-".into()));
        [
            (self.channel.clone(), style::STRONG),
            (health::word(self.health).into(), health::style(self.health)),
            plain(self.pid.to_string()),
            known(inspection.map(|inspection| inspection.publication.to_string())),
            plain(ago(latest.and_then(|slot| slot.age))),
            plain(clock(latest.and_then(|slot| slot.published_at))),
            known(inspection.and_then(health::rate).map(rate)),
            known(latest.map(|slot| bytes(slot.len))),
            (self.codec.clone(), style::DIM),
            known(inspection.map(|inspection| inspection.type_name.clone())),
        ]
    }
}
