//! Times of something that is done again and again.

use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;

/// How long one round takes at least: long against a reading of the clock.
const ROUND: Duration = Duration::from_millis(1);

/// The fewest rounds of which a median is taken.
const MIN: usize = 7;

/// Something that is done so many times in a row.
pub(super) type Task<'a> = &'a mut dyn FnMut(u32);

/// Does all tasks in turn, round by round for about as long as `budget`, so that what disturbs the machine
/// disturbs each of them; and gives back the medians of the rounds, in nanoseconds for one time.
///
/// # Errors
///
/// If it was interrupted.
pub(super) fn medians<const TASKS: usize>(
    budget: Duration,
    interrupt: &Interrupt,
    mut tasks: [Task<'_>; TASKS],
) -> Result<[f64; TASKS], String> {
    let times: [u32; TASKS] = std::array::from_fn(|index| calibrate(&mut *tasks[index]));
    let mut rounds: [Vec<f64>; TASKS] = std::array::from_fn(|_| Vec::new());
    let end = Instant::now() + budget;
    while Instant::now() < end || rounds[0].len() < MIN {
        check(interrupt)?;
        for index in 0..TASKS {
            let begin = Instant::now();
            tasks[index](times[index]);
            rounds[index].push(begin.elapsed().as_secs_f64() * 1e9 / f64::from(times[index]));
        }
    }
    Ok(rounds.map(|mut rounds| median(&mut rounds)))
}

/// # Errors
///
/// If the process was asked to end.
pub(super) fn check(interrupt: &Interrupt) -> Result<(), String> {
    if interrupt.is_raised() { Err("interrupted before all was measured".into()) } else { Ok(()) }
}

/// How many times make up a round. Warms up, too.
fn calibrate(task: Task<'_>) -> u32 {
    let mut times = 1;
    loop {
        let begin = Instant::now();
        task(times);
        if begin.elapsed() >= ROUND || times >= 1 << 24 {
            return times;
        }
        times *= 2;
    }
}

pub(super) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[test]
fn the_median_is_the_one_in_the_middle() {
    assert_eq!(median(&mut [3.0, 1.0, 200.0]), 3.0);
    assert!(median(&mut []).is_nan());
}
