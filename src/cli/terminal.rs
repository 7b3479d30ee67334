//! Output. Nothing else in the program prints.

use std::io::{self, ErrorKind, Write as _};

use jiff::{Timestamp, Unit};

use super::CliError;
use crate::config::ConfigError;

/// Prints a result to standard output, which may be a pipe.
///
/// # Errors
/// If it cannot be written. A closed pipe (`| head`) is not an error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Failed(format!(
            "the result cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Prints a message to standard error.
pub(super) fn print_stderr(text: &str) {
    // A failure cannot be reported anywhere.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints the warnings of a configuration.
pub(super) fn print_warnings(warnings: &[ConfigError]) {
    for warning in warnings {
        print_stderr(&format!("warning: {warning}\n"));
    }
}

/// Formats rows as a table with aligned columns.
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

/// A time to the second, such as `2026-01-31T13:45:00Z`.
pub(super) fn format_time(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

/// A text without control characters, which could move the terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    let shown = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().map(shown).collect()
}
