//! Why a request or call has to wait.

use std::time::Duration;

use super::claim::{Dimension, ToolClass};

/// Why a request or call has to wait. Nothing was done. `Display` is for the
/// client, and says for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limited {
    /// An allowance is spent.
    Exceeded {
        /// The one that takes longest to come back.
        dimension: Dimension,
        /// Until then, in whole seconds; at least one.
        wait: Duration,
    },
    /// Nobody can say: Redis is away, and the configuration says that nothing
    /// goes on without it.
    Uncounted {
        /// When to ask again.
        retry_after: Duration,
    },
}

impl Limited {
    pub(super) fn exceeded(dimension: Dimension, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::Exceeded {
            dimension,
            wait: Duration::from_secs(seconds.max(1)),
        }
    }

    /// When to try again.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Exceeded { wait, .. } => *wait,
            Self::Uncounted { retry_after } => *retry_after,
        }
    }

    /// The word for it in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exceeded { .. } => "limited",
            Self::Uncounted { .. } => "uncounted",
        }
    }
}

impl std::fmt::Display for Limited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.retry_after().as_secs();
        let (what, instead) = match self {
            Self::Uncounted { .. } => (
                "the gateway cannot count calls just now",
                "tell the administrator if it goes on",
            ),
            Self::Exceeded { dimension, .. } => match dimension {
                Dimension::Address => {
                    return write!(
                        f,
                        "too many requests from this address; try again in {seconds} s"
                    );
                }
                Dimension::Bytes => (
                    "you have read too much",
                    "ask for fewer fields then; until then only count_records, list_models and describe_model answer",
                ),
                Dimension::Caller => ("you have made too many calls", "ask for more with each"),
                Dimension::Instance => (
                    "all callers together make too many calls to this Odoo",
                    "ask for more with each",
                ),
                Dimension::Rows => (
                    "you have read too many records",
                    "ask for fewer then; until then only count_records, list_models and describe_model answer",
                ),
                Dimension::Tool(ToolClass::File) => (
                    "you have fetched too many files",
                    "fetch only what is needed",
                ),
                Dimension::Tool(ToolClass::Read) => (
                    "you have made too many calls that read",
                    "ask for more with each",
                ),
                Dimension::Tool(ToolClass::Write) => (
                    "you have made too many calls that change something",
                    "change more records with each",
                ),
            },
        };
        write!(
            f,
            "{what}; nothing was done, try again in {seconds} s, and {instead}"
        )
    }
}

impl std::error::Error for Limited {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Dimension, Limited, ToolClass};

    #[test]
    fn every_reason_says_for_how_long() {
        let dimensions = [
            Dimension::Address,
            Dimension::Caller,
            Dimension::Instance,
            Dimension::Tool(ToolClass::File),
            Dimension::Tool(ToolClass::Read),
            Dimension::Tool(ToolClass::Write),
            Dimension::Rows,
            Dimension::Bytes,
        ];
        let mut texts: Vec<String> = dimensions
            .iter()
            .map(|one| Limited::exceeded(*one, Duration::from_millis(2_001)).to_string())
            .collect();
        let retry_after = Duration::from_secs(1);
        texts.push(Limited::Uncounted { retry_after }.to_string());
        insta::assert_snapshot!(texts.join("\n"), @"
        too many requests from this address; try again in 3 s
        you have made too many calls; nothing was done, try again in 3 s, and ask for more with each
        all callers together make too many calls to this Odoo; nothing was done, try again in 3 s, and ask for more with each
        you have fetched too many files; nothing was done, try again in 3 s, and fetch only what is needed
        you have made too many calls that read; nothing was done, try again in 3 s, and ask for more with each
        you have made too many calls that change something; nothing was done, try again in 3 s, and change more records with each
        you have read too many records; nothing was done, try again in 3 s, and ask for fewer then; until then only count_records, list_models and describe_model answer
        you have read too much; nothing was done, try again in 3 s, and ask for fewer fields then; until then only count_records, list_models and describe_model answer
        the gateway cannot count calls just now; nothing was done, try again in 1 s, and tell the administrator if it goes on
        ");
    }

    #[test]
    fn a_moment_is_told_as_a_second() {
        let wait = Limited::exceeded(Dimension::Caller, Duration::from_micros(3)).retry_after();
        assert_eq!(wait, Duration::from_secs(1));
    }
}
