//! Why a person was not asked, or did not answer.

use std::time::Duration;

gatepost_base::words! {
    /// Why a person was not asked or did not respond. `Display` is for the model.
    /// Nothing was changed in any of these cases.
    #[derive(Debug, thiserror::Error)]
    pub enum ElicitationError {
        /// The client cancelled the call.
        #[error("not done: the client cancelled the call while the user was asked")]
        Cancelled = "unasked_taken_back",
        /// The client disconnected.
        #[error(
            "not done: this change needs the user's approval, and the client disconnected before they could be asked"
        )]
        ClientDisconnected = "unasked_gone",
        /// The client responded with an error or with an invalid result.
        #[error(
            "not done: this change needs the user's approval, and the client did not show the approval request although it declared support for elicitation. Retrying will not help. Ask the user to make the change in Odoo or to use another client"
        )]
        InvalidResponse = "unasked_unanswered",
        /// There is no randomness for an id that cannot be guessed.
        #[error(
            "not done: this change needs the user's approval, and the gateway had an internal error"
        )]
        NoEntropy(#[source] getrandom::Error) = "unasked_no_randomness",
        /// The caller's permissions or the configuration changed in the meantime.
        #[error(
            "not done: the user's permissions changed while they were asked. Call again to ask them again"
        )]
        PermissionsChanged = "unasked_changed",
        /// The process is shutting down.
        #[error(
            "not done: this change needs the user's approval, and the gateway is restarting. Call again in a minute to ask them again"
        )]
        ShuttingDown = "unasked_leaving",
        /// The person did not respond in time.
        #[error(
            "not done: this change needs the user's approval, and they did not answer within {} seconds. Tell them what you want to do, and call again when they are available",
            .0.as_secs()
        )]
        TimedOut(Duration) = "unasked_timed_out",
        /// Too many requests are pending.
        #[error(
            "not done: this change needs the user's approval, and they have too many open approval requests. Call again when some are answered"
        )]
        TooManyPending = "unasked_busy",
        /// The client does not support requests during a call.
        #[error("not done: this change needs the user's approval, and this client cannot ask them")]
        Unsupported = "unasked_no_way",
    }

    /// The error type in logs and metrics.
    pub fn kind(&self);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ElicitationError;

    #[test]
    fn errors_say_what_happened_and_what_to_do() {
        let errors = [
            ElicitationError::Cancelled,
            ElicitationError::ClientDisconnected,
            ElicitationError::InvalidResponse,
            ElicitationError::NoEntropy(getrandom::Error::UNSUPPORTED),
            ElicitationError::PermissionsChanged,
            ElicitationError::ShuttingDown,
            ElicitationError::TimedOut(Duration::from_mins(5)),
            ElicitationError::TooManyPending,
            ElicitationError::Unsupported,
        ];
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(texts.join("\n"));
    }
}
