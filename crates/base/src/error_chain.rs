//! The causes of an error in one line, for the log or an administrator.

use std::error::Error;

/// All causes of an error, the nearest first, without the error itself; `None`
/// if there are none.
pub fn sources(error: &(dyn Error + 'static)) -> Option<String> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    (!causes.is_empty()).then(|| causes.join(": "))
}
