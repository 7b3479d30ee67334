//! The three parts of a JWT (RFC 7515 section 3.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::JwtError;
use crate::{TokenRejected, strict_json::StrictObject};

/// The longest access token that is read, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The longest key id, in bytes. Hexadecimal hashes have up to 128.
const MAX_KEY_ID_BYTES: usize = 256;

/// The parts of a JWT; nothing is verified.
pub(super) struct CompactJws<'a> {
    /// The decoded header: JSON, if this is a JWT at all.
    pub(super) header: Vec<u8>,
    /// The decoded payload.
    pub(super) payload: Vec<u8>,
    /// The text that is signed: the first two parts, as received.
    pub(super) signing_input: &'a str,
    /// The signature, still in base 64.
    pub(super) signature: &'a str,
}

/// The header of a JWT.
#[derive(Debug)]
pub(super) struct JwtHeader {
    /// The claimed signature algorithm.
    pub(super) algorithm: Algorithm,
    /// The key id: only compared with ids, never used as a path, URL or query.
    pub(super) key_id: String,
    /// `typ` in lower case, without `application/`.
    typ: Option<String>,
}

impl<'a> CompactJws<'a> {
    /// Splits a token.
    ///
    /// # Errors
    /// [`TokenRejected::TooLong`], or [`TokenRejected::Malformed`] if it is not
    /// three parts of unpadded base64url.
    pub(super) fn split(text: &'a str, max_bytes: usize) -> Result<Self, TokenRejected> {
        if text.len() > max_bytes {
            return Err(TokenRejected::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenRejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenRejected::Malformed)?;
        // Base 64 has no dots, so that there is no fourth part.
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_no_base_64| TokenRejected::Malformed)
        };
        decode(signature)?;
        Ok(Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signing_input: signed,
            signature,
        })
    }
}

impl JwtHeader {
    /// Reads a header.
    ///
    /// # Errors
    /// [`TokenRejected::ForbiddenHeader`], [`TokenRejected::Algorithm`],
    /// [`TokenRejected::NoKeyId`], or [`TokenRejected::Malformed`].
    pub(super) fn read(json: &[u8]) -> Result<Self, JwtError> {
        let members = StrictObject::parse(json)?;
        // `crit`: no extension is supported (RFC 7515 section 4.1.11). The others
        // contain or locate a key, and the author of a token must not choose
        // what it is verified with.
        if ["crit", "jku", "jwk", "x5c", "x5u"]
            .into_iter()
            .any(|name| members.contains(name))
        {
            return Err(TokenRejected::ForbiddenHeader.into());
        }
        let algorithm = members
            .text("alg")?
            .and_then(parse_algorithm)
            .ok_or(TokenRejected::Algorithm)?;
        let key_id = members
            .text("kid")?
            .filter(|id| !id.is_empty() && id.len() <= MAX_KEY_ID_BYTES)
            .ok_or(TokenRejected::NoKeyId)?
            .to_owned();
        // RFC 7515 section 4.1.9: a media type, compared without regard to case;
        // `application/` may be omitted.
        let typ = members.text("typ")?.map(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
        });
        Ok(Self {
            algorithm,
            key_id,
            typ,
        })
    }

    /// Whether `typ` is this one, given in lower case.
    pub(super) fn has_typ(&self, typ: &str) -> bool {
        self.typ.as_deref() == Some(typ)
    }

    /// Whether there is no `typ`.
    pub(super) fn lacks_typ(&self) -> bool {
        self.typ.is_none()
    }
}

/// Whether tokens may be signed with the algorithm of this name.
pub fn is_supported_algorithm(name: &str) -> bool {
    parse_algorithm(name).is_some()
}

/// The asymmetric algorithm with exactly this registered name, so that `none`
/// and `rs256` are unknown. `Ed25519` is the name in RFC 9864 of `EdDSA` with the
/// only supported curve.
pub(crate) fn parse_algorithm(name: &str) -> Option<Algorithm> {
    let name = if name == "Ed25519" { "EdDSA" } else { name };
    let known: Option<Algorithm> = name.parse().ok();
    known.filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac)
}
