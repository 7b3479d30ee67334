//! Bounds on time that hold on a machine of any speed.

use std::time::{Duration, Instant};

/// How many times the usual work the measured work may take longer than its limit.
const ALLOWANCE: u32 = 20;

/// Runs `work` and asserts that it takes at most `limit` on an idle machine.
///
/// On a slow one the limit grows with the time that `usual` takes, which is timed before and after:
/// work of the same kind, in the same process, that nothing delays.
#[track_caller]
pub(crate) fn assert_takes_at_most<T>(
    limit: Duration,
    usual: impl Fn(),
    work: impl FnOnce() -> T,
) -> T {
    let time_usual = || {
        let begun = Instant::now();
        usual();
        begun.elapsed()
    };
    let before = time_usual();
    let begun = Instant::now();
    let result = work();
    let taken = begun.elapsed();
    let most = limit + ALLOWANCE * before.max(time_usual());
    assert!(taken <= most, "it took {taken:?} instead of {most:?}");
    result
}
