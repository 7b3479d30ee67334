//! The one place that prints.

use std::io::{self, ErrorKind, Write as _};

use super::Failure;

/// Prints a result, and only results, to standard output: it may be piped.
///
/// # Errors
/// When it cannot be written. A reader that is gone (`| head`) wanted no more
/// of it; that is no error.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(format!(
            "the result cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Prints an explanation, a warning or an error to standard error.
pub(super) fn explain(text: &str) {
    // There is nowhere left to say that this failed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}
