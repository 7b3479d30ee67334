//! Why a JWT proves nothing.

/// A JWT that does not prove anything, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// Nothing is wrong with it so far, and the set has no key of this id:
    /// perhaps the provider has a new one.
    #[error("the access token is not accepted")]
    NeedsKey(String),
    /// It is refused, whatever keys there are.
    #[error(transparent)]
    Rejected(#[from] JwtRejected),
}

/// What is wrong with a JWT.
///
/// The client reads the same of all of them; [`reason`](Self::reason) is for
/// our log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not accepted")]
pub(crate) enum JwtRejected {
    /// `alg` is `none`, one with a shared secret, unknown, or not allowed.
    Algorithm,
    /// `aud` is missing, no text or list of texts, or names nobody of us.
    Audience,
    /// Its time is over.
    Expired,
    /// The header brings a key of its own or something we must understand and
    /// do not (`crit`, `jku`, `jwk`, `x5c`, `x5u`).
    ForbiddenHeader,
    /// It tells who logged in where, and opens nothing: an ID token, or a
    /// logout token.
    IdToken,
    /// `iat` is in the future.
    IssuedInFuture,
    /// `iss` is missing, no text, or another provider.
    Issuer,
    /// The key of that id is for another algorithm.
    KeyMismatch,
    /// It is no JWT, or a member has a form that it never has.
    Malformed,
    /// It has no `exp`.
    NoExpiry,
    /// The header names no key, or with a name longer than any.
    NoKeyId,
    /// `nbf` is in the future.
    NotYetValid,
    /// A member is there twice, and each reader may believe another one.
    DuplicateMember,
    /// The signature is not of that key over this text.
    Signature,
    /// A signed introspection answer is not of just now, or does not say when
    /// it was made.
    Stale,
    /// It is longer than any.
    TooLong,
    /// `typ` says that it is something else.
    WrongType,
    /// The provider has no key of that id, not even after it was asked.
    UnknownKey,
}

impl JwtRejected {
    /// The word for it in the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm",
            Self::Audience => "audience",
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
            Self::DuplicateMember => "repeated_member",
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::TooLong => "too_long",
            Self::WrongType => "type",
            Self::UnknownKey => "unknown_key",
        }
    }
}
