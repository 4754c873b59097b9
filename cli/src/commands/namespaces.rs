//! `tearless namespaces`: the namespaces on this machine.

use clap::Args;
use serde_json::json;
use tearless::inspect::NamespaceInfo;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Table, bytes, plain, print_all_json, style};

/// Lists the namespaces on this machine, or in a --directory, and the memory that each takes
#[derive(Debug, Args)]
#[command(after_help = "\
Objects of another user are counted, but opened only with --trust-owner; without it, a dash replaces the \
name of their namespace.

Examples:
  tearless namespaces
  tearless namespaces --json | jq -r .namespace

Keys of --json, one object a namespace and user:
  namespace (null: unknown), owner (numeric id of the user), channels, blocks, objects (files in the directory), bytes (of \
memory), readable (whether this user may open them)

Exit codes: 0, also if there are none")]
pub(crate) struct NamespacesArguments {}

pub(crate) fn run(_: &NamespacesArguments, context: &Context) -> Result<(), Failure> {
    let namespaces = context.directory.namespaces()?;
    if context.json {
        return Ok(print_all_json(namespaces.iter().map(document))?);
    }
    let cells = |info: &NamespaceInfo| {
        [
            (info.name.clone().unwrap_or_else(|| "-".into()), style::STRONG),
            (info.owner_uid.to_string(), if info.readable { style::PLAIN } else { style::ODD }),
            plain(info.channels.to_string()),
            plain(info.blocks.to_string()),
            plain(info.objects.to_string()),
            plain(bytes(info.bytes)),
        ]
    };
    let columns = ["NAMESPACE", ">OWNER", ">CHANNELS", ">BLOCKS", ">OBJECTS", ">MEMORY"];
    Ok(Table::new(columns, namespaces.iter().map(cells)).print()?)
}

fn document(info: &NamespaceInfo) -> serde_json::Value {
    json!({
        "namespace": info.name, "owner": info.owner_uid, "channels": info.channels, "blocks": info.blocks,
        "objects": info.objects, "bytes": info.bytes, "readable": info.readable,
    })
}
