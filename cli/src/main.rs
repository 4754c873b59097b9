//! Looks inside the channels of tearless.

fn main() {}
