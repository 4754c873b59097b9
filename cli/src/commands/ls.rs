//! `tearless ls`: the channels of a namespace.

use anstyle::Style;
use clap::Args;
use serde_json::json;
use tearless::{ChannelInfo, WriterState};

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Alignment, Table, print_json, state_style, state_text, style};
use crate::target;

/// Lists the channels of a namespace, and who writes them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless ls
  tearless -n fleet ls 'worker-*'
  tearless ls --json | jq -r 'select(.state == \"dead\") | .channel'

Keys of --json, one object a channel:
  channel, state (alive, stopped, dead, closed, unknown), pid, incarnation, codec,
  capacity (bytes of a state that fitted without growing), limit (bytes of a state at most)

Exit codes: 0, also when there are none; 3 no such namespace")]
pub(crate) struct LsArguments {
    /// Only channels whose names fit; `*` stands for any characters, `?` for any one
    pattern: Option<String>,
}

pub(crate) fn run(arguments: &LsArguments, context: &Context) -> Result<(), Failure> {
    let mut channels = context.namespace()?.channels()?;
    if let Some(pattern) = &arguments.pattern {
        channels.retain(|info| target::fits(pattern, &info.name));
    }
    channels.sort_by(|one, other| one.name.cmp(&other.name));
    if context.json {
        for info in &channels {
            print_json(&document(info))?;
        }
        return Ok(());
    }
    let mut table = Table::new(&[
        ("CHANNEL", Alignment::Left),
        ("WRITER", Alignment::Left),
        ("PID", Alignment::Right),
        ("CODEC", Alignment::Left),
    ]);
    for info in &channels {
        table.row(cells(info));
    }
    Ok(table.print()?)
}

fn document(info: &ChannelInfo) -> serde_json::Value {
    json!({
        "channel": info.name,
        "state": state_text(info.writer_state()),
        "pid": info.writer_pid,
        "incarnation": info.incarnation,
        "codec": info.codec,
        "capacity": info.capacity,
        "limit": info.limit,
    })
}

fn cells(info: &ChannelInfo) -> [(String, Style); 4] {
    let state: WriterState = info.writer_state();
    [
        (info.name.clone(), style::STRONG),
        (state_text(state).into(), state_style(state)),
        (info.writer_pid.to_string(), style::PLAIN),
        (info.codec.clone(), style::PLAIN),
    ]
}
