//! The three parts of a JWT (RFC 7515 section 3.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;

use super::{super::strict_json::StrictObject, JwtRejected};

/// The longest name of a key, in bytes. Hashes in hexadecimal reach 128.
const MAX_KEY_ID_BYTES: usize = 256;

/// A JWT taken apart; nothing about it is proved.
pub(super) struct CompactJws<'a> {
    /// The header, decoded: JSON, if it is a JWT at all.
    pub(super) header: Vec<u8>,
    /// The payload, decoded.
    pub(super) payload: Vec<u8>,
    /// What the signature is over: the first two parts, as they came.
    pub(super) signing_input: &'a str,
    /// The signature, still in base 64.
    pub(super) signature: &'a str,
}

/// What a header may say.
#[derive(Debug)]
pub(super) struct JwtHeader {
    /// How it says that it is signed.
    pub(super) algorithm: Algorithm,
    /// The name of the key: a key of a map, and never a path, URL or query.
    pub(super) key_id: String,
    /// `typ` in small letters, without `application/`.
    typ: Option<String>,
}

impl<'a> CompactJws<'a> {
    /// Takes a text apart.
    ///
    /// # Errors
    /// [`NotAccepted::TooLong`], or [`NotAccepted::Malformed`] when it is not
    /// three parts in the base 64 of URLs, without padding.
    pub(super) fn split(text: &'a str, max_bytes: usize) -> Result<Self, JwtRejected> {
        if text.len() > max_bytes {
            return Err(JwtRejected::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwtRejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtRejected::Malformed)?;
        // A dot more is in no base 64.
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_no_base_64| JwtRejected::Malformed)
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
    /// [`NotAccepted::ForbiddenHeader`], [`NotAccepted::Algorithm`],
    /// [`NotAccepted::NoKeyId`], or [`NotAccepted::Malformed`].
    pub(super) fn read(json: &[u8]) -> Result<Self, JwtRejected> {
        let members = StrictObject::parse(json)?;
        // `crit`: RFC 7515 section 4.1.11, we understand no extension. The
        // others bring a key or say where one is, and who makes a token must
        // not choose what it is verified with.
        if ["crit", "jku", "jwk", "x5c", "x5u"]
            .into_iter()
            .any(|name| members.contains(name))
        {
            return Err(JwtRejected::ForbiddenHeader);
        }
        let algorithm = members
            .text("alg")?
            .and_then(parse_algorithm)
            .ok_or(JwtRejected::Algorithm)?;
        let key_id = members
            .text("kid")?
            .filter(|id| !id.is_empty() && id.len() <= MAX_KEY_ID_BYTES)
            .ok_or(JwtRejected::NoKeyId)?
            .to_owned();
        // RFC 7515 section 4.1.9: a media type, in which case does not matter
        // and `application/` may be left out.
        let kind = members.text("typ")?.map(|kind| {
            let kind = kind.to_ascii_lowercase();
            match kind.strip_prefix("application/") {
                Some(rest) => rest.to_owned(),
                None => kind,
            }
        });
        Ok(Self {
            algorithm,
            key_id,
            typ: kind,
        })
    }

    /// Whether `typ` is this one, written in small letters.
    pub(super) fn has_typ(&self, kind: &str) -> bool {
        self.typ.as_deref() == Some(kind)
    }

    /// Whether there is no `typ`.
    pub(super) fn lacks_typ(&self) -> bool {
        self.typ.is_none()
    }
}

/// The asymmetric algorithm of a name; exactly as it is registered, so `None`
/// and `rs256` are none. `Ed25519` is the new name of RFC 9864 for what `EdDSA`
/// is with the only curve we know.
pub(crate) fn parse_algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "Ed25519" | "EdDSA" => Some(Algorithm::EdDSA),
        "PS256" => Some(Algorithm::PS256),
        "PS384" => Some(Algorithm::PS384),
        "PS512" => Some(Algorithm::PS512),
        "RS256" => Some(Algorithm::RS256),
        "RS384" => Some(Algorithm::RS384),
        "RS512" => Some(Algorithm::RS512),
        _ => None,
    }
}
