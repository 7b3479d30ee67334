//! Problems in the rows of an import.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

/// The maximum number of different problems in the text.
const MAX_PROBLEMS: usize = 30;
/// The maximum number of row ranges in the text of one problem.
const MAX_RUNS: usize = 15;

/// Problems in rows. `Display` is for the language model that sent them: each problem
/// once, with all of its rows, from 1.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowProblems {
    /// The rows of each problem, by its column and text.
    rows: BTreeMap<(String, String), Vec<RangeInclusive<usize>>>,
    /// Whether Odoo stopped after too many.
    pub(super) truncated: bool,
}

impl RowProblems {
    pub(super) fn add(&mut self, column: String, text: String, rows: RangeInclusive<usize>) {
        self.rows.entry((column, text)).or_default().push(rows);
    }

    /// Whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for RowProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("Odoo did not report what is wrong; try fewer rows");
        }
        let mut all: Vec<_> = self.rows.iter().collect();
        // Sorted by row.
        all.sort_by_key(|(_, rows)| rows.first().map_or(0, |rows| *rows.start()));
        for (index, ((column, text), rows)) in all.iter().take(MAX_PROBLEMS).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "- {}", format_row_ranges(rows))?;
            if !column.is_empty() {
                write!(f, ", `{column}`")?;
            }
            write!(f, ": {text}")?;
        }
        if all.len() > MAX_PROBLEMS {
            write!(f, "\n- and {} more problems", all.len() - MAX_PROBLEMS)?;
        }
        if self.truncated {
            f.write_str("\n- Odoo stopped after so many errors; later rows may be invalid, too")?;
        }
        Ok(())
    }
}

/// Rows from 1, such as `rows 2, 5-7`. A record with lines is its first row to
/// its last.
pub fn format_row_ranges(rows: &[RangeInclusive<usize>]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut sorted: Vec<(usize, usize)> = rows
        .iter()
        .map(|rows| (rows.start() + 1, rows.end() + 1))
        .collect();
    sorted.sort_unstable();
    for (from, to) in sorted {
        match runs.last_mut() {
            Some((_, end)) if from <= *end + 1 => *end = to.max(*end),
            Some(_) | None => runs.push((from, to)),
        }
    }
    let word = match runs.as_slice() {
        [(from, to)] if from == to => "row",
        _ => "rows",
    };
    let mut text: Vec<String> = runs
        .iter()
        .take(MAX_RUNS)
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        })
        .collect();
    if runs.len() > MAX_RUNS {
        let rest = runs.iter().skip(MAX_RUNS);
        let count: usize = rest.map(|(from, to)| to - from + 1).sum();
        text.push(format!("and {count} more"));
    }
    format!("{word} {}", text.join(", "))
}
