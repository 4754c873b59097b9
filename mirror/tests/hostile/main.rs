//! A hostile peer wastes its own time at worst: nothing panics, turns in circles, or touches what
//! is not its own.

mod harness;

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use tearless_mirror::message::{
    Ask, AskRound, Content, Interest, Item, ItemEncoder, Reply, Request, Round, State,
};
use tearless_mirror::testing::described;

/// Valid messages, to be changed: the body between version and checksum.
fn bodies(session: u64) -> Vec<Vec<u8>> {
    let interest = vec![Interest { namespace: "*".into(), channel: "*".into() }];
    let ask = AskRound { first: 1, received: vec![1], max_bytes: 4096, hold_ms: 9, interest };
    let request = Request { sink: 5, host: "x".into(), id: 1, session: 7, ask: Ask::Round(ask) };
    let mut items = ItemEncoder::default();
    for (key, channel) in [(0, "w1"), (1, "other"), (2, "w1"), (3, &format!("w{session}"))] {
        let mut description = described(channel, 10);
        description.format.schema = Some(b"schema".to_vec());
        let content = if key == 2 { Content::Large(70_000) } else { Content::Whole(b"state") };
        let state = Some(State { publication: u64::MAX - u64::from(key), age: Some(u64::MAX), content });
        let item =
            Item { key, is_removed: false, description: Some(Cow::Owned(description)), status: None, state };
        items.push(&item, 1 << 16);
    }
    let round = Round {
        session,
        sequence: u64::MAX,
        listing: 1,
        is_listed: session == 7,
        first: 2,
        held_us: u64::MAX,
        clock_us: u64::MAX,
    };
    [request.encode(), Reply::round(round, items)]
        .map(|message| message[1..message.len() - 4].to_vec())
        .into()
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let changed = (0..2_usize, vec((any::<prop::sample::Index>(), any::<u8>()), 0..6));
    prop_oneof![
        vec(any::<u8>(), 0..200),
        changed.prop_map(|(which, changes)| {
            let mut body = bodies(7).swap_remove(which);
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body
        }),
        (1..100_u64).prop_map(|session| bodies(session).swap_remove(1)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hostile_origin_harms_no_sink(replies in vec(message(), 1..20)) {
        harness::to_a_sink(&replies);
    }

    #[test]
    fn a_hostile_sink_harms_no_source(requests in vec(message(), 1..20)) {
        harness::to_a_source(&requests);
    }
}
