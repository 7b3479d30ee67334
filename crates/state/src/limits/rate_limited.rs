//! Why a request or call has to wait.

use std::time::Duration;

use super::request::{LimitScope, ToolClass};

/// Why a request or call has to wait. Nothing was done. `Display` is for the
/// client, and says for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateLimited {
    /// An allowance is spent.
    Exceeded {
        /// The one that takes longest to come back.
        scope: LimitScope,
        /// Until then, in whole seconds; at least one.
        wait: Duration,
    },
    /// Nobody can say: Redis is away, and the configuration says that nothing
    /// goes on without it.
    LimiterUnavailable {
        /// When to ask again.
        retry_after: Duration,
    },
}

impl RateLimited {
    pub(super) fn exceeded(scope: LimitScope, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::Exceeded {
            scope,
            wait: Duration::from_secs(seconds.max(1)),
        }
    }

    /// When to try again.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Exceeded { wait, .. } => *wait,
            Self::LimiterUnavailable { retry_after } => *retry_after,
        }
    }

    /// The word for it in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exceeded { .. } => "limited",
            Self::LimiterUnavailable { .. } => "uncounted",
        }
    }
}

impl std::fmt::Display for RateLimited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.retry_after().as_secs();
        let (what, instead) = match self {
            Self::LimiterUnavailable { .. } => (
                "the gateway cannot count calls just now",
                "tell the administrator if it goes on",
            ),
            Self::Exceeded {
                scope: dimension, ..
            } => match dimension {
                LimitScope::Address => {
                    return write!(
                        f,
                        "too many requests from this address; try again in {seconds} s"
                    );
                }
                LimitScope::Bytes => (
                    "you have read too much",
                    "ask for fewer fields then; until then only count_records, list_models and describe_model answer",
                ),
                LimitScope::Caller => ("you have made too many calls", "ask for more with each"),
                LimitScope::Instance => (
                    "all callers together make too many calls to this Odoo",
                    "ask for more with each",
                ),
                LimitScope::Rows => (
                    "you have read too many records",
                    "ask for fewer then; until then only count_records, list_models and describe_model answer",
                ),
                LimitScope::Tool(ToolClass::File) => (
                    "you have fetched too many files",
                    "fetch only what is needed",
                ),
                LimitScope::Tool(ToolClass::Read) => (
                    "you have made too many calls that read",
                    "ask for more with each",
                ),
                LimitScope::Tool(ToolClass::Write) => (
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

impl std::error::Error for RateLimited {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LimitScope, RateLimited, ToolClass};

    #[test]
    fn every_message_states_when_to_retry() {
        let dimensions = [
            LimitScope::Address,
            LimitScope::Caller,
            LimitScope::Instance,
            LimitScope::Tool(ToolClass::File),
            LimitScope::Tool(ToolClass::Read),
            LimitScope::Tool(ToolClass::Write),
            LimitScope::Rows,
            LimitScope::Bytes,
        ];
        let mut texts: Vec<String> = dimensions
            .iter()
            .map(|one| RateLimited::exceeded(*one, Duration::from_millis(2_001)).to_string())
            .collect();
        let retry_after = Duration::from_secs(1);
        texts.push(RateLimited::LimiterUnavailable { retry_after }.to_string());
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
    fn wait_is_rounded_up_to_a_second() {
        let wait =
            RateLimited::exceeded(LimitScope::Caller, Duration::from_micros(3)).retry_after();
        assert_eq!(wait, Duration::from_secs(1));
    }
}
