//! The few colours there are. They reach terminals only, through `anstream`.

use anstyle::{AnsiColor, Style};

/// Column names, and what matters.
pub(crate) const STRONG: Style = Style::new().bold();
/// What stands beside.
pub(crate) const DIM: Style = Style::new().dimmed();
/// In order.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Worth a look.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// Wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// As it comes.
pub(crate) const PLAIN: Style = Style::new();
