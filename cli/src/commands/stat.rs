//! `tearless stat`: everything that a channel records beside its states.

use std::fmt::Debug;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tearless::{
    Bytes, MessagePack,
    error::AttachError,
    inspect::{ChannelState, Inspection, OriginInfo, SegmentInspection},
};

use crate::blocks;
use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::health;
use crate::output::{Fields, ago, bytes, clock, duration, print_json, printable, seconds, style, timestamp};
use crate::resolve;
use crate::states::States;

/// Shows what a channel records beside its states: writer, times, format, memory; or what a block
/// records
#[derive(Debug, Args)]
#[command(after_help = "\
Inspects the memory of a channel of any codec and type; the writer takes no part. The rate is calculated from the \
timestamps of the few publications that the channel still holds, so a burst looks faster than the average; \
`tearless top` measures the rate.

Examples:
  tearless stat worker-7
  tearless stat worker-7 --schema
  tearless stat prices --block
  tearless stat worker-7 --json | jq .rate

Keys of --json; null: unknown:
  channel, namespace, writer (alive, stalled, stopped, dead, exited, closed, unknown, unreachable), origin (of a \
mirrored channel: host, publication, instance, incarnation, pid, news_age_seconds; else null; then pid, start_time \
and incarnation are those of the mirror), pid, start_time (clock \
ticks since boot), incarnation, state (open, lingering, removed), ended_seconds (since the writer closed the \
channel or exited), publication (number of the last one), age_seconds, published_at (UTC), bytes (of the last \
state), rate (publications a second, from those that the channel still holds), held (how many it holds), \
opened_seconds, heartbeat_age_seconds, heartbeat_interval_seconds, unfinished (number of the publication that \
the writer's death interrupted), codec, type_name, schema_bytes (of the schema that the channel carries), \
fingerprint (hexadecimal), checksum, max_state_len (in bytes), growths, owner, permissions (octal), timestamps \
(precise, coarse, none), wake_mode (barriers, fences, never), pins (number), pinned (publications that readers \
view in place), segments (of A and B: generation, depth, capacity, bytes; or null); with --schema only channel and schema_text; of a block as `tearless ls` documents them

Exit codes: 3 no such channel or block; 5 there is no schema to print")]
pub(crate) struct StatArguments {
    /// The channel; or, if there is none of that name, the block
    channel: String,
    /// Shows the block of that name, even if there is a channel
    #[arg(long, conflicts_with = "schema")]
    block: bool,
    /// Prints the schema instead, if the channel carries one
    #[arg(long)]
    schema: bool,
}

pub(crate) fn run(arguments: &StatArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    if arguments.schema {
        let states = States::attach(&namespace, &arguments.channel, Duration::ZERO, context)?;
        return print_schema(&states, context);
    }
    let name = &arguments.channel;
    let inspected = health::inspect(&namespace, name);
    let is_no_channel = || matches!(inspected, Err(AttachError::NotFound { .. }));
    if (arguments.block || is_no_channel())
        && let Some(block) = blocks::named(&namespace, name)
    {
        return Ok(if context.json {
            print_json(&blocks::document(&block))
        } else {
            blocks::fields(&block).print()
        }?);
    }
    if arguments.block {
        let text = format!("there is no block {name:?} in namespace {:?}", namespace.name());
        let hint = match is_no_channel() {
            true => "`tearless ls` lists blocks after channels",
            false => "there is a channel of that name: leave out --block",
        };
        return Err(Failure::new(ExitStatus::NotFound, text).hint(hint));
    }
    let inspection = inspected.map_err(|error| match error {
        AttachError::NotFound { .. } => {
            resolve::not_found(&namespace, name, "channel or block", &context.directory)
        }
        error => error.into(),
    })?;
    match context.json {
        true => Ok(print_json(&document(&inspection))?),
        false => {
            let mut fields = Fields::default();
            about_writer(&mut fields, &inspection);
            about_states(&mut fields, &inspection);
            about_memory(&mut fields, &inspection);
            Ok(fields.print()?)
        }
    }
}

fn print_schema(states: &States, context: &Context) -> Result<(), Failure> {
    let reader = &states.reader;
    let Some(schema) = reader.schema() else {
        let (channel, codec) = (reader.reader().channel(), reader.codec());
        let text = format!("channel {channel:?} ({codec}) carries no schema that can be read");
        let hint = match codec {
            MessagePack::NAME => "its states name their own fields: `tearless get` shows them",
            Bytes::NAME => "its states are bytes, which have no schema",
            _ => "open its writer with `writer_builder(…).with_schema()`",
        };
        return Err(Failure::new(ExitStatus::Undecodable, text).hint(hint));
    };
    if context.json {
        let document = json!({ "channel": reader.reader().channel(), "schema_text": schema.to_string() });
        return Ok(print_json(&document)?);
    }
    let mut output = io::stdout().lock();
    for line in schema.to_string().lines() {
        writeln!(output, "{}", printable(line))?;
    }
    Ok(())
}

fn about_writer(fields: &mut Fields, inspection: &Inspection) {
    fields.styled("channel", inspection.channel.as_str(), style::STRONG);
    fields.add("namespace", inspection.namespace.as_str());
    let health = Some(inspection.health());
    let what = if inspection.origin.is_some() { "mirrored by process" } else { "process" };
    let mut writer = format!("{}, {what} {}", health::word(health), inspection.writer_pid);
    if inspection.state == ChannelState::Lingering {
        writer.push_str("; it left its last state on purpose");
    }
    fields.styled("writer", writer, health::style(health));
    if let Some(OriginInfo { host, incarnation, news_age, .. }) = inspection.origin {
        let process = health::process(inspection.writer_pid, inspection.origin);
        let number = health::latest(inspection).and_then(|slot| slot.origin_publication).unwrap_or(0);
        fields.add("origin", format!("publication {number} of host {host:?}, news {}", ago(news_age)));
        fields.add("its writer", format!("{process} (number {incarnation} there)"));
    }
    fields.add("incarnation", format!("{} (number of writers so far)", inspection.incarnation));
    if inspection.opened_ago.is_some() {
        fields.add("opened", ago(inspection.opened_ago));
    }
    match (inspection.heartbeat_age, inspection.heartbeat_interval) {
        (None, None) => {}
        (heartbeat, Some(interval)) => {
            let text = format!("{}; promised every {}", ago(heartbeat), duration(interval));
            let is_broken = health::breach(inspection).is_some();
            fields.styled("heartbeat", text, if is_broken { style::ODD } else { style::PLAIN });
        }
        (heartbeat, None) => fields.add("heartbeat", ago(heartbeat)),
    }
}

fn about_states(fields: &mut Fields, inspection: &Inspection) {
    let mut publication = match inspection.publication {
        0 => "none yet".to_owned(),
        number => number.to_string(),
    };
    if let Some(latest) = health::latest(inspection) {
        if latest.age.is_some() {
            publication.push_str(&format!(", {} ({})", ago(latest.age), clock(latest.published_at)));
        }
        publication.push_str(&format!(", {}", bytes(latest.len)));
    }
    fields.add("publication", publication);
    if let Some(rate) = health::rate(inspection) {
        let held = health::whole(inspection).len();
        let burst = format!("from the {held} that it still holds; a burst looks faster");
        fields.add("rate", format!("{rate:.1} publications a second, {burst}"));
    }
    if let Some(unfinished) = inspection.unfinished() {
        let text = format!("number {unfinished}: the writer's death interrupted it");
        fields.styled("unfinished", text, style::BAD);
    }
    fields.add("codec", inspection.codec.as_str());
    fields.add("type", format!("{} (fingerprint {:016x})", inspection.type_name, inspection.fingerprint));
    if let Some(carried) = inspection.schema_bytes {
        fields.add("schema", format!("{}: --schema prints it", bytes(carried)));
    }
    fields.add("checksum", if inspection.checksum { "CRC32C" } else { "none" });
    fields.add("timestamps", word(inspection.timestamps));
    fields.add("wakes with", word(inspection.wake_mode));
}

fn about_memory(fields: &mut Fields, inspection: &Inspection) {
    for (name, segment) in ["segment A", "segment B"].into_iter().zip(&inspection.segments) {
        match segment {
            Ok(segment) => fields.add(name, segment_text(segment)),
            Err(error) => fields.styled(name, error.to_string(), style::BAD),
        }
    }
    fields.add("growths", inspection.growths.to_string());
    if !inspection.pinned.is_empty() {
        fields.add("pins", health::pins(&inspection.pinned));
    }
    fields.add("max state", bytes(inspection.max_state_len));
    fields.add("owner", format!("user {}, permissions {:o}", inspection.owner_uid, inspection.permissions));
}

fn segment_text(segment: &SegmentInspection) -> String {
    let SegmentInspection { generation, depth, capacity, .. } = segment;
    let size = bytes(segment.bytes);
    format!("generation {generation}, {depth} slots of {} in {size}", bytes(*capacity))
}

/// The name of a variant in lower case.
fn word(variant: impl Debug) -> String {
    format!("{variant:?}").to_lowercase()
}

/// The help documents the keys.
fn document(inspection: &Inspection) -> Value {
    let latest = health::latest(inspection);
    let segment = |segment: &SegmentInspection| {
        json!({
            "generation": segment.generation, "depth": segment.depth, "capacity": segment.capacity,
            "bytes": segment.bytes,
        })
    };
    let segments = inspection.segments.iter().map(|found| found.as_ref().ok().map(segment));
    json!({
        "channel": inspection.channel, "namespace": inspection.namespace,
        "writer": health::word(Some(inspection.health())), "origin": health::origin_of(inspection),
        "pid": inspection.writer_pid,
        "start_time": inspection.start_time, "incarnation": inspection.incarnation,
        "state": word(inspection.state), "ended_seconds": seconds(inspection.ended_ago),
        "publication": inspection.publication, "age_seconds": seconds(latest.and_then(|slot| slot.age)),
        "published_at": timestamp(latest.and_then(|slot| slot.published_at)),
        "bytes": latest.map(|slot| slot.len), "rate": health::rate(inspection),
        "held": health::whole(inspection).len(), "opened_seconds": seconds(inspection.opened_ago),
        "heartbeat_age_seconds": seconds(inspection.heartbeat_age),
        "heartbeat_interval_seconds": seconds(inspection.heartbeat_interval),
        "unfinished": inspection.unfinished(), "codec": inspection.codec, "type_name": inspection.type_name,
        "schema_bytes": inspection.schema_bytes, "fingerprint": format!("{:016x}", inspection.fingerprint),
        "checksum": inspection.checksum, "max_state_len": inspection.max_state_len,
        "growths": inspection.growths, "pins": inspection.pinned.len(),
        "pinned": health::viewed(&inspection.pinned).collect::<Vec<_>>(), "owner": inspection.owner_uid,
        "permissions": format!("{:o}", inspection.permissions), "timestamps": word(inspection.timestamps),
        "wake_mode": word(inspection.wake_mode), "segments": segments.collect::<Vec<_>>(),
    })
}
