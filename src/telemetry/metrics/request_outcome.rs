//! How a request ended, as a label.

gatepost_base::words! {
    /// How a request ended.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum RequestOutcome {
        /// The gateway shut down before the response was written.
        Aborted = "cut",
        /// It was answered.
        Answered = "answered",
        /// The client cancelled it.
        Cancelled = "cancelled",
        /// The client disconnected before the response.
        ClientDisconnected = "hung_up",
        /// It was answered with a question to the user.
        InputRequired = "asked",
        /// It was rejected or failed; the label `blame` says where.
        Refused = "refused",
    }

    /// The word in logs and metric labels.
    pub fn as_str(self);
}
