//! A syncer as a task of a tokio runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

#[test]
fn a_tick_of_the_task_publishes_what_was_changed() {
    let (namespace, runtime) = (namespace(), runtime());
    let state = builder(&namespace, 5).interval(OFTEN).spawn_on(runtime.handle()).unwrap();
    let mut reader = reader(&namespace);
    assert_eq!(*reader.snapshot().unwrap(), 5);
    assert_eq!(reader.heartbeat_interval(), Some(OFTEN));
    state.replace(6);
    eventually("6 is published", || *reader.snapshot().unwrap() == 6);
    let begin = Instant::now();
    eventually("there is another heartbeat", || has_come_after(begin, reader.heartbeat_age()));
    assert_eq!(reader.publication(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_shut_down_in_async_code() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(OFTEN).spawn_on(&Handle::current()).unwrap();
    while state.statistics().ticks < 3 {
        time::sleep(OFTEN).await;
    }
    state.replace(6);
    assert_eq!(state.flush().unwrap(), 2);
    state.replace(7);
    let statistics = state.shutdown().unwrap();
    assert_eq!((statistics.published, statistics.failed), (3, 0));
    assert!(reader(&namespace).is_closed());
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 7);
    drop(builder(&namespace, 8).spawn().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_ticks_keep_to_the_runtimes_clock() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(SECOND).spawn_on(&Handle::current()).unwrap();
    let mut reader = reader(&namespace);
    state.replace(6);
    time::sleep(SECOND / 2).await;
    assert_eq!((*reader.snapshot().unwrap(), state.statistics().ticks), (5, 0));
    time::sleep(SECOND).await;
    assert_eq!((*reader.snapshot().unwrap(), state.statistics().ticks), (6, 1));
    time::sleep(10 * SECOND).await;
    let statistics = state.statistics();
    assert_eq!((statistics.ticks, statistics.untouched, statistics.overruns), (11, 10, 0));
}

#[tokio::test(start_paused = true)]
async fn missed_ticks_are_skipped_and_counted() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(SECOND).spawn_on(&Handle::current()).unwrap();
    // The runtime is busy: it does not poll the task for 4.5 intervals.
    time::advance(SECOND * 9 / 2).await;
    tokio::task::yield_now().await;
    let statistics = state.statistics();
    assert_eq!((statistics.ticks, statistics.overruns), (1, 3));
    time::sleep(SECOND).await;
    assert_eq!(state.statistics().ticks, 2, "the one at 5, in the grid");
}

#[test]
fn a_drop_publishes_the_last_state_though_the_runtime_is_gone() {
    let (namespace, runtime) = (namespace(), runtime());
    let state = builder(&namespace, 5).interval(OFTEN).spawn_on(runtime.handle()).unwrap();
    drop(runtime);
    let ticks = state.statistics().ticks;
    state.replace(6);
    assert_eq!(state.statistics().ticks, ticks, "there are no ticks");
    drop(state);
    assert!(reader(&namespace).is_closed());
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
}

#[test]
fn a_drop_on_a_thread_of_the_runtime_waits_for_nothing() {
    let namespace = namespace();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let state = builder(&namespace, 5).interval(OFTEN).spawn_on(runtime.handle()).unwrap();
    runtime.block_on(async move {
        state.replace(6);
        drop(state);
    });
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
    // The channel is free, whether the task has run or not.
    drop(builder(&namespace, 7).spawn().unwrap());
}

#[test]
fn a_panic_of_the_owning_task_publishes_what_it_left() {
    let (namespace, runtime) = (namespace(), runtime());
    let state = builder(&namespace, 5).interval(NEVER).spawn_on(runtime.handle()).unwrap();
    let owner = runtime.spawn(async move {
        state.replace(6);
        panic!("the owner panics");
    });
    assert!(runtime.block_on(owner).unwrap_err().is_panic());
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
}

#[test]
fn a_runtime_without_a_timer_is_refused_loudly() {
    let namespace = namespace();
    let runtime = Builder::new_current_thread().build().unwrap();
    let refused =
        catch_unwind(AssertUnwindSafe(|| builder(&namespace, 5).interval(OFTEN).spawn_on(runtime.handle())));
    assert!(refused.is_err());
    drop(builder(&namespace, 6).spawn().unwrap());
}
