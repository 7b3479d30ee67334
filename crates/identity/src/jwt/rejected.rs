//! Why a JWT is not accepted.

/// A JWT that is not accepted, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// No error so far, but the set has no key of this id: the provider may have
    /// a new one.
    #[error("the access token is not accepted")]
    NeedsKey(String),
    /// It is rejected with any keys.
    #[error(transparent)]
    Rejected(#[from] JwtRejected),
}

/// Why a JWT is rejected.
///
/// The client reads the same text for all reasons; [`reason`](Self::reason) is
/// for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not accepted")]
pub(crate) enum JwtRejected {
    /// `alg` is `none`, one with a shared secret, unknown, or not allowed.
    Algorithm,
    /// `aud` is missing, has the wrong type, or names no instance of ours.
    Audience,
    /// A member appears twice, and parsers disagree about its value.
    DuplicateMember,
    /// It has expired.
    Expired,
    /// The header has a key of its own or an extension (`crit`, `jku`, `jwk`,
    /// `x5c`, `x5u`).
    ForbiddenHeader,
    /// It is an ID token or a logout token, which grants no access.
    IdToken,
    /// `iat` is in the future.
    IssuedInFuture,
    /// `iss` is missing, has the wrong type, or names another provider.
    Issuer,
    /// The key of that id is for another algorithm.
    KeyMismatch,
    /// It is not a JWT, or a member has the wrong type.
    Malformed,
    /// It has no `exp`.
    NoExpiry,
    /// The header has no key id, or too long a one.
    NoKeyId,
    /// `nbf` is in the future.
    NotYetValid,
    /// The signature does not match the key and the text.
    Signature,
    /// A signed introspection response is not recent, or has no `iat`.
    Stale,
    /// It is too long.
    TooLong,
    /// The provider has no key of that id, even after it was asked.
    UnknownKey,
    /// `typ` says that it is something else.
    WrongType,
}

impl JwtRejected {
    /// The reason's name in the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm",
            Self::Audience => "audience",
            Self::DuplicateMember => "repeated_member",
            Self::Expired => "expired",
            Self::ForbiddenHeader => "forbidden_header",
            Self::IdToken => "id_token",
            Self::IssuedInFuture => "issued_later",
            Self::Issuer => "issuer",
            Self::KeyMismatch => "key_mismatch",
            Self::Malformed => "malformed",
            Self::NoExpiry => "no_expiry",
            Self::NoKeyId => "no_key_id",
            Self::NotYetValid => "not_yet",
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::TooLong => "too_long",
            Self::UnknownKey => "unknown_key",
            Self::WrongType => "type",
        }
    }
}
