//! How the lookup of a provider's token ended.

/// How the lookup of a provider's token ended, for logs and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenLookup {
    /// The provider was asked and accepted it.
    Accepted,
    /// A cached result accepted it.
    Cached,
    /// The provider rejected Gatepost's own client credentials.
    ClientCredentialsRejected,
    /// It was not looked up because too many tokens from the same address failed.
    RateLimited,
    /// It is invalid, or valid for another audience.
    Rejected,
    /// The provider did not answer, and an expired cached result accepted it.
    Stale,
    /// The provider could not be asked.
    Unavailable,
}

impl TokenLookup {
    /// The word in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Cached => "cached",
            Self::ClientCredentialsRejected => "credentials_refused",
            Self::RateLimited => "limited",
            Self::Rejected => "refused",
            Self::Stale => "stale",
            Self::Unavailable => "unavailable",
        }
    }
}
