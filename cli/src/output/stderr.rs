//! What is said beside the output.

use std::fmt::Arguments;
use std::io::Write;

/// A line on standard error. Nobody may be there to read it: that is no reason to fail, as `eprintln!` does.
pub(crate) fn print_error(line: Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}
