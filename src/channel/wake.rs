//! The writer's side of waiting: waking the processes that announced that they wait.

use crate::layout::control;
use crate::layout::registry::waiters;
use crate::memory::Words;
use crate::object;
use crate::seqlock::{Announcements, Answered, WakeMode, count_wake_up};

/// The page of a namespace on which waiters announce themselves.
#[derive(Debug)]
pub(crate) struct WaitersPage {
    /// Instance of the registry that the page belongs to.
    pub(crate) instance: u64,
    pub(crate) words: Words,
}

/// Wakes the processes that wait for this writer.
#[derive(Debug)]
pub(super) struct Waker {
    /// Instance of the registry whose page it uses; 0 if it wakes no process.
    pub(super) instance: u64,
    /// The channel's group.
    group: usize,
    announcements: Announcements<Words>,
    pub(super) wake_mode: WakeMode,
    answered: Answered,
}

impl Waker {
    /// A waker that wakes no process. It takes a word of the `control` page that no process stores
    /// to for the count of announcements, so that a publication needs not ask which waker it has.
    pub(super) fn of_none(control: &Words) -> Waker {
        let announcements = Announcements::new(control.clone(), control::FEATURES_OPTIONAL);
        let answered = Answered::all_of(announcements.count());
        Waker { instance: 0, group: 0, announcements, wake_mode: WakeMode::Never, answered }
    }

    /// The waker of a new writer of `channel`. The writer's first publication wakes the processes
    /// that waited before it opened.
    ///
    /// `None` if the writer wakes no process.
    pub(super) fn new(page: WaitersPage, channel: &str, wanted: WakeMode) -> Option<Waker> {
        let wake_mode = match wanted {
            WakeMode::Barriers if !object::register_for_barriers() => WakeMode::Fences,
            wake_mode => wake_mode,
        };
        if wake_mode == WakeMode::Never {
            return None;
        }
        let group = waiters::group_of(channel);
        let announcements = Announcements::new(page.words, waiters::ANNOUNCED + group);
        let answered = Answered::none_of(announcements.count());
        Some(Waker { instance: page.instance, group, announcements, wake_mode, answered })
    }

    /// p1: the count before a publication, for [`Waker::must_wake`] after it.
    #[inline(always)]
    pub(super) fn count(&self) -> u64 {
        self.announcements.count()
    }

    /// p2, p3: after a publication, whether a process may wait for it. `wake_mode` is the waker's;
    /// a caller that knows that it is not [`WakeMode::Fences`] may say `Barriers`.
    #[inline(always)]
    pub(super) fn must_wake(&mut self, before: u64, wake_mode: WakeMode) -> bool {
        self.answered.must_wake(before, self.announcements.count_after(wake_mode))
    }

    /// Wakes the processes that sleep on the `published` word of the channel's `control` page, and
    /// those that sleep on the waiters' page.
    #[cold]
    pub(super) fn wake(&self, control: &Words) {
        if self.instance == 0 {
            return;
        }
        let page = self.announcements.page();
        count_wake_up(page, waiters::GROUP_WAKE_UPS + self.group, waiters::WAKE_UPS);
        object::wake(control, control::PUBLISHED);
        object::wake(page, waiters::WAKE_UPS);
    }
}
