//! The error for a request or call over a rate limit.

use std::time::Duration;

use super::request::{LimitScope, ToolClass};

/// A request or call was over a rate limit, and nothing was done. `Display` is for
/// the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateLimited {
    /// A limit is exceeded.
    Exceeded {
        /// The limit with the longest wait.
        scope: LimitScope,
        /// How long to wait, in whole seconds; at least one.
        wait: Duration,
    },
    /// Redis is unavailable, and the configuration rejects calls without it.
    LimiterUnavailable {
        /// How long to wait.
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

    /// How long to wait before a retry.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Exceeded { wait, .. } => *wait,
            Self::LimiterUnavailable { retry_after } => *retry_after,
        }
    }

    /// The value in logs and metrics.
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
        let (what, advice) = match self {
            Self::LimiterUnavailable { .. } => (
                "rate limiting is temporarily unavailable",
                "tell the administrator if this persists",
            ),
            Self::Exceeded { scope, .. } => match scope {
                LimitScope::Address => {
                    return write!(
                        f,
                        "too many requests from this address; try again in {seconds} s"
                    );
                }
                LimitScope::Bytes => (
                    "you have read too much data",
                    "request fewer fields; until then only count_records, list_models and describe_model work",
                ),
                LimitScope::Caller => ("you have made too many calls", "do more with each call"),
                LimitScope::Instance => (
                    "all callers together have made too many calls to this Odoo",
                    "do more with each call",
                ),
                LimitScope::Rows => (
                    "you have read too many records",
                    "request fewer; until then only count_records, list_models and describe_model work",
                ),
                LimitScope::Tool(ToolClass::File) => (
                    "you have fetched too many files",
                    "fetch only what is needed",
                ),
                LimitScope::Tool(ToolClass::Read) => (
                    "you have made too many read calls",
                    "read more with each call",
                ),
                LimitScope::Tool(ToolClass::Write) => (
                    "you have made too many write calls",
                    "change more records with each call",
                ),
            },
        };
        write!(
            f,
            "{what}. Nothing was done; try again in {seconds} s, and {advice}"
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
        let scopes = [
            LimitScope::Address,
            LimitScope::Caller,
            LimitScope::Instance,
            LimitScope::Tool(ToolClass::File),
            LimitScope::Tool(ToolClass::Read),
            LimitScope::Tool(ToolClass::Write),
            LimitScope::Rows,
            LimitScope::Bytes,
        ];
        let mut texts: Vec<String> = scopes
            .iter()
            .map(|one| RateLimited::exceeded(*one, Duration::from_millis(2_001)).to_string())
            .collect();
        let retry_after = Duration::from_secs(1);
        texts.push(RateLimited::LimiterUnavailable { retry_after }.to_string());
        insta::assert_snapshot!(texts.join("\n"), @"
        too many requests from this address; try again in 3 s
        you have made too many calls. Nothing was done; try again in 3 s, and do more with each call
        all callers together have made too many calls to this Odoo. Nothing was done; try again in 3 s, and do more with each call
        you have fetched too many files. Nothing was done; try again in 3 s, and fetch only what is needed
        you have made too many read calls. Nothing was done; try again in 3 s, and read more with each call
        you have made too many write calls. Nothing was done; try again in 3 s, and change more records with each call
        you have read too many records. Nothing was done; try again in 3 s, and request fewer; until then only count_records, list_models and describe_model work
        you have read too much data. Nothing was done; try again in 3 s, and request fewer fields; until then only count_records, list_models and describe_model work
        rate limiting is temporarily unavailable. Nothing was done; try again in 1 s, and tell the administrator if this persists
        ");
    }

    #[test]
    fn wait_is_rounded_up_to_a_second() {
        let wait =
            RateLimited::exceeded(LimitScope::Caller, Duration::from_micros(3)).retry_after();
        assert_eq!(wait, Duration::from_secs(1));
    }
}
