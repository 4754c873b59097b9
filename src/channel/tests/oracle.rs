//! Random sequences of operations against the model.

use proptest::prelude::*;

use super::model::{Crash, MAX_STATE_LEN, Operation, compare};

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let len = || prop_oneof![4 => 0..40_usize, 3 => 0..2_000_usize, 1 => 0..MAX_STATE_LEN + 2];
    let loan = |(len, publishes)| Operation::Loan { len, publishes };
    let crash = prop::sample::select(&Crash::ALL[..]);
    let operation = prop_oneof![
        10 => len().prop_map(|len| Operation::Publish { len }),
        6 => (len(), any::<bool>()).prop_map(loan),
        1 => Just(Operation::Shrink),
        3 => Just(Operation::Attach),
        10 => (0..4_usize).prop_map(|reader| Operation::Snapshot { reader }),
        1 => any::<bool>().prop_map(|linger| Operation::Close { linger }),
        2 => crash.prop_map(Operation::Crash),
        4 => Just(Operation::Open),
        1 => Just(Operation::Remove),
    ];
    prop::collection::vec(operation, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_of_operations_shows_the_last_publication(
        depth in prop_oneof![Just(None), Just(Some(1)), Just(Some(2))],
        checksum in any::<bool>(),
        operations in operations(),
    ) {
        compare(depth, checksum, &operations);
    }
}
