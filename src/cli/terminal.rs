//! The one place that prints.

use std::io::{self, ErrorKind, Write as _};

use super::CliError;

/// Prints a result, and only results, to standard output: it may be piped.
///
/// # Errors
/// When it cannot be written. A reader that is gone (`| head`) wanted no more
/// of it; that is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Failed(format!(
            "the result cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Prints an explanation, a warning or an error to standard error.
pub(super) fn print_stderr(text: &str) {
    // There is nowhere left to say that this failed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Columns under each other, the last one as wide as it is.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}
