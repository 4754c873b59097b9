//! `tearless export`: the numbers in the states of all channels, for Prometheus.

mod exporter;
mod exposition;
mod sample;
mod server;
mod source;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tearless::hub::Pattern;

use crate::blocks;
use crate::context::Context;
use crate::error::Failure;
use crate::output::stderr;
use crate::resolve;
use exporter::Exporter;

/// Exports the numbers in the states of all channels to Prometheus
#[derive(Debug, Args)]
#[command(after_help = "\
Every number in a MessagePack state, and in a state whose channel carries its schema, becomes a gauge \
`tearless_field{channel=\"worker-7\",field=\"queue.len\"}`: booleans as 0 and 1, elements of arrays by index, \
without fields whose names begin with `_`, at most 256 for a channel, with paths of at most 200 bytes; `tearless_fields_left_out` counts the others. \
States of more than 1 MiB are not decoded; `tearless_no_fields` reports them. \
`tearless_exporter_channels_left_out` counts the channels beyond --max-channels.

A worker that died, is stopped, has closed its channel, or has been silent for 3 of the intervals that it \
promised, has `tearless_up` 0 and no fields, because its last numbers would look current; `tearless_writer` \
reports its state. With --last-states, its fields are exported with the label last_state=\"true\". Ages and \
counts are always exported. While the channels can't be listed, `tearless_exporter_listed` is 0, and the \
exporter uses the previous list.

Every client that reaches the address can read all of it. The exporter answers GET /metrics and GET /, on 16 \
connections at a time, until SIGINT (Ctrl-C), SIGTERM or SIGHUP.

Examples:
  tearless -n fleet export --prometheus
  tearless export --prometheus --listen 0.0.0.0:9464 'worker-*'
  tearless export --prometheus --once | grep tearless_up

Keys of --json: none; export refuses --json

Exit codes: 0, also after a signal; 1 the address can't be used, or the channels can't be listed; 2 wrong \
usage; 3 no such namespace (with --once)")]
pub(crate) struct ExportArguments {
    /// The text format of Prometheus (OpenMetrics), the only format so far
    #[arg(long, required = true)]
    prometheus: bool,
    /// Where to listen, HOST:PORT; of a host's addresses, the first usable one. The default is
    /// reachable only from this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464", value_parser = server::addresses)]
    listen: Arc<[SocketAddr]>,
    /// Prints one exposition and ends
    #[arg(long, conflicts_with = "listen")]
    once: bool,
    /// Also exports the last states of workers that are not alive, with the label last_state="true"
    #[arg(long)]
    last_states: bool,
    /// The most channels of one exposition. If more match, ended workers are left out first
    #[arg(long, value_name = "N", default_value = "1000")]
    max_channels: usize,
    /// Which channels: `*` matches any characters, `?` matches one
    #[arg(value_name = "PATTERN", default_value = "*")]
    pattern: String,
}

/// Prints one exposition, or answers requests until a signal ends it.
pub(crate) fn run(arguments: &ExportArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    match arguments.once {
        true => {
            let pattern = Pattern::new(&arguments.pattern);
            let channels = resolve::channels(&namespace, &context.directory)?;
            if !channels.iter().any(|info| pattern.matches(&info.name)) {
                let blocks = blocks::matching(&namespace, Some(&pattern)).unwrap_or_default();
                match blocks.is_empty() {
                    true => stderr(format_args!("no channel matches")),
                    false => stderr(format_args!("no channel matches: blocks do, which have no states")),
                }
            }
        }
        // A server may start before its workers. A registry that can't be read now stays
        // unreadable.
        false => drop(namespace.channels()?),
    }
    let mut exporter =
        Exporter::new(namespace, &arguments.pattern, arguments.last_states, arguments.max_channels);
    if arguments.once {
        let text = exposition::text_of(&exporter.scrape());
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(());
    }
    server::serve(&arguments.listen, exporter, announce)
}

fn announce(address: SocketAddr) -> io::Result<()> {
    if !address.ip().is_loopback() {
        stderr(format_args!("every client that reaches {address} can read the states of all channels"));
    }
    let mut output = io::stdout().lock();
    writeln!(output, "listening on http://{address}/metrics")?;
    output.flush()
}
