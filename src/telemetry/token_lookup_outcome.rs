//! How the lookup of a provider's token ended.

gatepost_base::words! {
    /// How the lookup of a provider's token ended, for logs and metrics.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum TokenLookupOutcome {
        /// The provider was asked and accepted it.
        Accepted = "accepted",
        /// A cached result accepted it.
        Cached = "cached",
        /// The provider rejected Gatepost's own client credentials.
        ClientCredentialsRejected = "credentials_refused",
        /// It was not looked up because too many tokens from the same address failed.
        RateLimited = "limited",
        /// It is invalid, or valid for another audience.
        Rejected = "refused",
        /// The provider did not answer, and an expired cached result accepted it.
        Stale = "stale",
        /// The provider could not be asked.
        Unavailable = "unavailable",
    }

    /// The word in logs and metric labels.
    pub fn as_str(self);
}
