//! Why a token is not accepted.

gatepost_base::words! {
    /// Why a token is not accepted.
    ///
    /// The client reads the same text for all reasons; [`reason`](Self::reason) is
    /// for the log.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
    #[error("the token is not accepted here; get a new one")]
    pub enum TokenRejected {
        /// `alg` is `none`, symmetric, unknown, or not allowed.
        Algorithm = "algorithm",
        /// It has no audience, or none that the instance accepts.
        Audience = "audience",
        /// The introspection response and the signed token name different subjects
        /// or clients.
        Contradiction = "contradiction",
        /// A member of the JWT appears twice, and parsers disagree about its value.
        DuplicateMember = "repeated_member",
        /// It has expired.
        Expired = "expired",
        /// The header of the JWT has a key of its own or an extension (`crit`, `jku`,
        /// `jwk`, `x5c`, `x5u`).
        ForbiddenHeader = "forbidden_header",
        /// It is an ID token or a logout token, which grants no access.
        IdToken = "id_token",
        /// The provider does not know it, or no longer.
        Inactive = "inactive",
        /// A claim has the wrong type.
        InvalidClaim = "broken_claim",
        /// It has another issuer.
        Issuer = "issuer",
        /// The key of the JWT is for another algorithm.
        KeyMismatch = "key_mismatch",
        /// It is not a well-formed JWT.
        Malformed = "malformed",
        /// It has no client, which is not allowed.
        NoClient = "no_client",
        /// It never expires, which is not allowed.
        NoExpiry = "no_expiry",
        /// The header of the JWT has no key id, or too long a one.
        NoKeyId = "no_key_id",
        /// No instance uses a provider that could know it.
        NoProvider = "no_provider",
        /// It is opaque, but only JWTs can be validated.
        NotJwt = "no_jwt",
        /// `nbf` or `iat` is in the future.
        NotYetValid = "not_yet_valid",
        /// It is bound to a key (`DPoP`, mTLS), which is not supported.
        SenderConstrained = "sender_constrained",
        /// The signature does not match the key and the text.
        Signature = "signature",
        /// A signed introspection response is not recent, or has no `iat`.
        Stale = "stale",
        /// It has no subject, or an invalid one.
        Subject = "subject",
        /// It is not an access token.
        TokenType = "token_type",
        /// The JWT is too long.
        TooLong = "too_long",
        /// It is too short to be unguessable.
        TooShort = "too_short",
        /// Nothing in the JWT says that it is an access token.
        Unmarked = "unmarked",
        /// The provider has no key of that id, even after it was asked.
        UnknownKey = "unknown_key",
        /// `typ` of the JWT says that it is something else.
        WrongType = "type",
    }

    /// The reason's name in log and metrics.
    pub fn reason(self);
}

impl TokenRejected {
    /// What the administrator can do about it, for the log, if the provider or the
    /// configuration may be the reason.
    pub fn log_help(self) -> Option<&'static str> {
        match self {
            Self::Algorithm => Some("the token's `alg` is not in `algorithms`"),
            Self::Audience => Some(
                "the token, or the introspection response, names no audience of an instance; if only the response lacks `aud`, set `validation = \"jwt_then_introspection\"`",
            ),
            Self::NoClient => Some("set `allow_pat = true` to accept tokens without a client"),
            Self::NoExpiry => Some("set `allow_no_exp = true` to accept tokens without an expiry"),
            Self::TokenType => Some(
                "the provider says that it is no access token, or does not say what it is; if it never does, set `validation = \"jwt_then_introspection\"` or `\"jwt\"`, or, less safe, `allow_missing_token_type = true`",
            ),
            Self::Unmarked => Some(
                "the JWT has neither the type `at+jwt` nor a subject with a scope or client; set `validation = \"jwt_then_introspection\"`",
            ),
            Self::WrongType => Some(
                "the JWT does not have the type `at+jwt`; set `require_at_jwt = false` if the provider's access tokens do not",
            ),
            Self::Contradiction
            | Self::DuplicateMember
            | Self::Expired
            | Self::ForbiddenHeader
            | Self::IdToken
            | Self::Inactive
            | Self::InvalidClaim
            | Self::Issuer
            | Self::KeyMismatch
            | Self::Malformed
            | Self::NoKeyId
            | Self::NoProvider
            | Self::NotJwt
            | Self::NotYetValid
            | Self::SenderConstrained
            | Self::Signature
            | Self::Stale
            | Self::Subject
            | Self::TooLong
            | Self::TooShort
            | Self::UnknownKey => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TokenRejected;
    use crate::{ProviderError, ProviderUnavailable, TokenError, jwt::JwtError};

    #[test]
    fn rejected_token_gets_one_text() {
        insta::assert_snapshot!(TokenRejected::Expired, @"the token is not accepted here; get a new one");
        // The errors that contain it have no text of their own.
        for text in [
            JwtError::NeedsKey("k".to_owned()).to_string(),
            JwtError::from(TokenRejected::Signature).to_string(),
            TokenError::from(TokenRejected::Signature).to_string(),
        ] {
            assert_eq!(text, TokenRejected::Expired.to_string());
        }
        let unavailable = ProviderUnavailable::from(ProviderError::CircuitOpen);
        assert_eq!(
            TokenError::from(unavailable.clone()).to_string(),
            unavailable.to_string()
        );
    }

    // P6
    #[test]
    fn log_names_the_setting_that_accepts_a_rejected_token() {
        let helps = [
            TokenRejected::Algorithm,
            TokenRejected::Audience,
            TokenRejected::NoClient,
            TokenRejected::NoExpiry,
            TokenRejected::TokenType,
            TokenRejected::Unmarked,
            TokenRejected::WrongType,
        ]
        .map(|why| format!("{}: {}", why.reason(), why.log_help().unwrap()));
        insta::assert_snapshot!(helps.join("\n"));
    }
}
