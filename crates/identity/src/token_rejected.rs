//! Why a token is not accepted.

/// Why a token is not accepted.
///
/// The client reads the same text for all reasons; [`reason`](Self::reason) is
/// for the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("the token is not accepted here; get a new one")]
pub enum TokenRejected {
    /// `alg` is `none`, symmetric, unknown, or not allowed.
    Algorithm,
    /// It has no audience, or none of ours.
    Audience,
    /// A member of the JWT appears twice, and parsers disagree about its value.
    DuplicateMember,
    /// It has expired.
    Expired,
    /// The header of the JWT has a key of its own or an extension (`crit`, `jku`,
    /// `jwk`, `x5c`, `x5u`).
    ForbiddenHeader,
    /// It is an ID token or a logout token, which grants no access.
    IdToken,
    /// The provider does not know it, or no longer.
    Inactive,
    /// A claim has the wrong type.
    InvalidClaim,
    /// `iat` of the JWT is in the future.
    IssuedInFuture,
    /// It has another issuer.
    Issuer,
    /// The key of the JWT is for another algorithm.
    KeyMismatch,
    /// It is not a well-formed JWT.
    Malformed,
    /// It has no client, which is not allowed.
    NoClient,
    /// It never expires, which is not allowed.
    NoExpiry,
    /// The header of the JWT has no key id, or too long a one.
    NoKeyId,
    /// No instance uses a provider that could know it.
    NoProvider,
    /// `nbf` of the JWT is in the future.
    NotBefore,
    /// It is opaque, but only JWTs can be validated.
    NotJwt,
    /// `nbf` or `iat` is in the future.
    NotYetValid,
    /// It is bound to a key (`DPoP`, mTLS), which is not supported.
    SenderConstrained,
    /// The signature does not match the key and the text.
    Signature,
    /// A signed introspection response is not recent, or has no `iat`.
    Stale,
    /// It has no subject, or an invalid one.
    Subject,
    /// It is not an access token.
    TokenType,
    /// The JWT is too long.
    TooLong,
    /// It is too short to be unguessable.
    TooShort,
    /// The provider has no key of that id, even after it was asked.
    UnknownKey,
    /// `typ` of the JWT says that it is something else.
    WrongType,
}

impl TokenRejected {
    /// The reason's name in log and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm",
            Self::Audience => "audience",
            Self::DuplicateMember => "repeated_member",
            Self::Expired => "expired",
            Self::ForbiddenHeader => "forbidden_header",
            Self::IdToken => "id_token",
            Self::Inactive => "inactive",
            Self::InvalidClaim => "broken_claim",
            Self::IssuedInFuture => "issued_later",
            Self::Issuer => "issuer",
            Self::KeyMismatch => "key_mismatch",
            Self::Malformed => "malformed",
            Self::NoClient => "no_client",
            Self::NoExpiry => "no_expiry",
            Self::NoKeyId => "no_key_id",
            Self::NoProvider => "no_provider",
            Self::NotBefore => "not_yet",
            Self::NotJwt => "no_jwt",
            Self::NotYetValid => "not_yet_valid",
            Self::SenderConstrained => "sender_constrained",
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Subject => "subject",
            Self::TokenType => "token_type",
            Self::TooLong => "too_long",
            Self::TooShort => "too_short",
            Self::UnknownKey => "unknown_key",
            Self::WrongType => "type",
        }
    }
}
