//! Blocks, as `ls` and `stat` show them.

use anstyle::Style;
use serde_json::{Value, json};
use tearless::{Namespace, block::BlockInfo, error::ObjectError, hub::Pattern};

use crate::health;
use crate::output::{Fields, Table, ago, bytes, plain, seconds, style};

/// The blocks of a namespace whose names match.
pub(crate) fn matching(
    namespace: &Namespace,
    pattern: Option<&Pattern>,
) -> Result<Vec<BlockInfo>, ObjectError> {
    let mut blocks = namespace.blocks()?;
    blocks.retain(|block| pattern.is_none_or(|pattern| pattern.matches(&block.name)));
    Ok(blocks)
}

/// The block of that name, if this user may read it.
pub(crate) fn named(namespace: &Namespace, name: &str) -> Option<BlockInfo> {
    namespace.blocks().ok()?.into_iter().find(|block| block.name == name)
}

pub(crate) fn table(blocks: &[BlockInfo]) -> Table {
    let columns = ["BLOCK", "OWNER", ">PID", ">CREATED", ">SIZE", "LABEL"];
    Table::new(columns, blocks.iter().map(cells))
}

fn cells(block: &BlockInfo) -> [(String, Style); 6] {
    [
        (block.name.clone(), style::STRONG),
        (block.owner.name().into(), health::style(Some(health::of_process(block.owner)))),
        plain(block.owner_pid.to_string()),
        plain(ago(block.age)),
        plain(bytes(block.len as u64)),
        (block.label.clone(), style::DIM),
    ]
}

/// The help of `ls` and of `stat` documents the keys.
pub(crate) fn document(block: &BlockInfo) -> Value {
    json!({
        "block": block.name, "owner_state": block.owner.name(), "pid": block.owner_pid,
        "created_seconds": seconds(block.age), "bytes": block.len, "resident": block.resident,
        "label": block.label, "instance": format!("{:016x}", block.instance), "owner": block.owner_uid,
        "permissions": format!("{:o}", block.permissions), "object": block.object,
    })
}

pub(crate) fn fields(block: &BlockInfo) -> Fields {
    let mut fields = Fields::default();
    fields.styled("block", block.name.as_str(), style::STRONG);
    let owner = format!("{}, process {}", block.owner.name(), block.owner_pid);
    fields.styled("owner", owner, health::style(Some(health::of_process(block.owner))));
    fields.add("created", ago(block.age));
    fields.add(
        "size",
        format!("{} ({} bytes), {} of memory", bytes(block.len as u64), block.len, bytes(block.resident)),
    );
    fields.add("label", if block.label.is_empty() { "none" } else { block.label.as_str() });
    fields.add("instance", format!("{:016x}", block.instance));
    fields.add(
        "object",
        format!("{}, user {}, permissions {:o}", block.object, block.owner_uid, block.permissions),
    );
    fields
}
