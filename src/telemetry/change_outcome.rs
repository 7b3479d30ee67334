//! What became of a change that a client asked for.

gatepost_base::words! {
    /// What became of a change that a client asked for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum ChangeOutcome {
        /// It was made.
        Applied = "applied",
        /// Some of its steps were made.
        PartlyApplied = "partly_applied",
        /// Nothing was changed yet: the client got a preview, or a question to the
        /// person behind it.
        Previewed = "previewed",
        /// It was refused, or failed before anything was changed.
        Refused = "refused",
        /// A call with the same key had made it before.
        Repeated = "repeated",
        /// Nothing was sent, because the records had the values already.
        Unchanged = "unchanged",
        /// It was sent, and it is not known whether it was made.
        Unknown = "unknown",
    }

    /// The word in metric labels.
    pub fn as_str(self);
}
