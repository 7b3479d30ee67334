//! What is behind an error, in one line for our log or an administrator.

use std::error::Error;

/// All causes of an error, the nearest first, without the error itself; none
/// where it has none.
pub fn behind(error: &(dyn Error + 'static)) -> Option<String> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    (!causes.is_empty()).then(|| causes.join(": "))
}

/// Why an HTTP exchange failed, without its URL, which may hold a secret.
pub fn of_exchange(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    behind(error).unwrap_or_else(|| "no answer".to_owned())
}
