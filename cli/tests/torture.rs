//! The promise: **a snapshot is never torn.** Five seconds of `tearless verify`, with more
//! processes than processors, so that the kernel preempts all of them in the middle of everything.
//!
//! `ci/torn` runs the same in release mode for a minute.

mod process;

use process::run;

#[test]
fn no_snapshot_is_ever_torn() {
    let outcome = run(&["verify", "--seconds", "5", "--writers", "4", "--readers", "4"]);
    println!("{}", outcome.output);
    assert!(outcome.status.success(), "{}\n{}", outcome.output, outcome.errors);
    assert!(outcome.output.ends_with("nothing is wrong\n"), "{}", outcome.output);
}
