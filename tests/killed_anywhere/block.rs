//! A block: killed while it is created, created in place of a dead owner's, or removed.

use tearless::Namespace;
use tearless::cleanup::Retention;
use tearless::error::BlockError;
use tearless::inspect::WriterState;

use crate::CHANNEL as BLOCK;
use crate::common::OwnNamespace;
use crate::trace::Position;
use crate::tracee::{Tracee, mark, watchdog};

/// More than a page, so that the object grows.
const LEN: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Create,
    /// In place of a block whose owner was killed.
    Replace,
    Close,
}

impl Life {
    fn suffer(self, namespace: &Namespace) {
        let create = || namespace.block_builder(BLOCK).label("label").create(LEN).unwrap();
        if self == Life::Close {
            let block = create();
            mark();
            block.close().unwrap();
            mark();
        } else {
            mark();
            let block = create();
            mark();
            std::mem::forget(block);
        }
        panic!("not killed");
    }

    /// A victim at its first mark.
    fn set(self, namespace: &Namespace) -> Tracee {
        if self == Life::Replace {
            let former = Tracee::start(|| Life::Close.suffer(namespace));
            former.kill();
        }
        Tracee::start(|| self.suffer(namespace))
    }
}

/// Kills a victim at about `samples` places and around every system call. After each kill, a
/// cleanup or the next owner finds nothing that it can't remove, and nothing is left.
pub(crate) fn kill_with_a_block(life: Life, samples: u64) {
    let own = OwnNamespace::new(&[]);
    let trace = life.set(&own).record(|_| ());
    let objects = || testkit::objects::listed(&own.object_prefix(None));
    own.clean(Retention::UntilReplaced).unwrap();
    let steps = trace.sample(samples);
    let (mut left, mut astray) = (0, 0);
    for (number, step) in steps.iter().enumerate() {
        let victim = life.set(&own);
        astray += usize::from(victim.go_to(trace.point(*step)) != Position::Within);
        victim.kill();
        watchdog();
        assert!(objects().len() <= 1, "killed after step {step}: {:?}", objects());
        left += usize::from(!objects().is_empty());
        let blocks = own.blocks().unwrap();
        for block in &blocks {
            assert_eq!((&*block.label, block.len), ("label", LEN), "killed after step {step}");
            assert!(
                matches!(block.owner, WriterState::Dead | WriterState::Closed),
                "killed after step {step}: {block:?}"
            );
            let opened = own.block_builder(BLOCK).open();
            assert!(matches!(opened, Err(BlockError::OwnerDied { .. } | BlockError::NotFound { .. })));
        }
        if number % 2 == 0 {
            let next = own.block(BLOCK, LEN).unwrap();
            assert!(blocks.iter().all(|block| block.instance != next.instance()));
            let mut all = [1; LEN];
            next.read_at(0, &mut all);
            assert_eq!(all, [0; LEN], "killed after step {step}");
            next.close().unwrap();
        } else {
            let foreseen = own.would_clean(Retention::UntilReplaced).unwrap();
            let cleaned = own.clean(Retention::UntilReplaced).unwrap();
            let names = |removed: &[tearless::cleanup::Removed]| {
                removed.iter().map(|it| (it.objects.clone(), it.reason)).collect::<Vec<_>>()
            };
            assert_eq!(names(&foreseen.removed), names(&cleaned.removed), "killed after step {step}");
            assert!(cleaned.failed.is_empty(), "killed after step {step}: {cleaned}");
        }
        assert_eq!(objects(), [""; 0], "killed after step {step}");
    }
    let points = steps.len();
    assert!((1..=points).contains(&left), "killed with a block: {left} of {points}");
    assert!(astray * 4 < points, "killed {points} times, {astray} elsewhere than intended");
    println!("{life:?}: {points} kill points of {} steps ({astray} elsewhere than intended)", trace.steps());
}
