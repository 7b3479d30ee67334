//! The approval token: proof that a preview was shown, and of what.
//!
//! It is an HMAC over the caller, the instance, the tool, the arguments, the
//! records before, and the exact calls that would be sent. The client stores it,
//! so replicas share only the secret and which tokens were used.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::writes::RequestFingerprint;
use gatepost_base::InstanceName;
use gatepost_identity::Caller;
use gatepost_state::store::StoreTime;

/// Bytes of each of the two MACs.
const MAC_BYTES: usize = 16;
/// Bytes of the expiry, the nonce, and the two MACs.
const TOKEN_BYTES: usize = 8 + 8 + 2 * MAC_BYTES;

/// What a token is valid for. No `Debug`: it holds the secret.
pub(crate) struct ApprovalToken<'a> {
    pub(crate) secret: &'a [u8; 32],
    pub(crate) caller: &'a Caller,
    pub(crate) instance: &'a InstanceName,
    pub(crate) fingerprint: &'a RequestFingerprint,
    /// The digest of the records before and of the calls that would be sent.
    pub(crate) content_digest: [u8; 32],
}

/// Who approves with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ApproverKind {
    /// The model, in the arguments of its next call.
    Model,
    /// A person, through the client.
    Person,
}

/// Why a token is not valid; continues "because".
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ApprovalTokenError {
    /// It was issued for this call, but the preview showed something else.
    #[error("the records, or what would be done, are no longer as shown")]
    Changed(VerifiedApproval),
    #[error("it has expired")]
    Expired,
    #[error("it was not issued for this call")]
    Foreign,
}

/// A valid token: its nonce, by which it is used once, and its expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VerifiedApproval {
    pub(crate) nonce: [u8; 8],
    /// By the clock of the store.
    pub(crate) expires: StoreTime,
}

impl ApprovalToken<'_> {
    /// The token as text.
    pub(crate) fn sign(&self, by: ApproverKind, nonce: [u8; 8], expires: StoreTime) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend(expires.as_millis().to_be_bytes());
        bytes.extend(nonce);
        let (request, content) = self.macs(by, &bytes);
        bytes.extend(request);
        bytes.extend(content);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies that a token was issued for this.
    pub(crate) fn verify(
        &self,
        by: ApproverKind,
        text: &str,
        now: StoreTime,
    ) -> Result<VerifiedApproval, ApprovalTokenError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_malformed| ApprovalTokenError::Foreign)?;
        let bytes: [u8; TOKEN_BYTES] = bytes
            .try_into()
            .map_err(|_malformed| ApprovalTokenError::Foreign)?;
        let (head, macs) = bytes.split_at(16);
        let (request, content) = macs.split_at(MAC_BYTES);
        let (own_request, own_content) = self.macs(by, head);
        if !constant_time_eq(request, &own_request) {
            return Err(ApprovalTokenError::Foreign);
        }
        let (expires, nonce) = head.split_at(8);
        let fixed = |part: &[u8]| <[u8; 8]>::try_from(part).unwrap_or_default();
        let verified = VerifiedApproval {
            nonce: fixed(nonce),
            expires: StoreTime::from_millis(u64::from_be_bytes(fixed(expires))),
        };
        if verified.expires < now {
            return Err(ApprovalTokenError::Expired);
        }
        if !constant_time_eq(content, &own_content) {
            return Err(ApprovalTokenError::Changed(verified));
        }
        Ok(verified)
    }

    /// The MAC of the request that it was issued for, and that of what was shown.
    fn macs(&self, by: ApproverKind, head: &[u8]) -> ([u8; MAC_BYTES], [u8; MAC_BYTES]) {
        let by = match by {
            ApproverKind::Model => "model",
            ApproverKind::Person => "person",
        };
        let caller = self.caller;
        // Each part is preceded by its length, so that parts cannot run into each other.
        let request = self.mac(&[
            // The word is part of the MAC of tokens that are in use.
            b"place",
            head,
            by.as_bytes(),
            caller.issuer.as_bytes(),
            caller.kind.as_str().as_bytes(),
            caller.subject.as_str().as_bytes(),
            self.instance.as_str().as_bytes(),
            self.fingerprint.tool.as_bytes(),
            &self.fingerprint.digest,
        ]);
        let content = self.mac(&[b"content", &request, &self.content_digest]);
        (request, content)
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        // HMAC accepts a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret) else {
            return [0; MAC_BYTES];
        };
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        let mut bytes = [0; MAC_BYTES];
        for (to, from) in bytes.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
        bytes
    }
}

fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(one, other).into()
}

#[cfg(test)]
mod tests {
    use super::{ApprovalToken, ApprovalTokenError, ApproverKind, VerifiedApproval};
    use crate::writes::RequestFingerprint;
    use gatepost_base::{InstanceName, Subject};
    use gatepost_identity::{Caller, CallerKind};
    use gatepost_state::store::StoreTime;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn invalid_approval_token_errors_continue_because() {
        let changed = VerifiedApproval {
            nonce: [1; 8],
            expires: StoreTime::from_millis(1),
        };
        let texts = [
            ApprovalTokenError::Changed(changed),
            ApprovalTokenError::Expired,
            ApprovalTokenError::Foreign,
        ]
        .map(|error| error.to_string());
        insta::assert_snapshot!(texts.join("\n"), @r"
        the records, or what would be done, are no longer as shown
        it has expired
        it was not issued for this call
        ");
    }

    fn caller(subject: &str) -> Caller {
        Caller {
            issuer: "https://id.example".to_owned(),
            kind: CallerKind::User,
            subject: Subject::verified(subject),
            name: None,
            roles: Vec::new(),
            credential: None,
        }
    }

    #[test]
    fn approval_token_is_valid_only_for_the_call_it_was_signed_for() {
        let (ada, bob) = (caller("ada"), caller("bob"));
        let instance = |name: &str| InstanceName::try_from(name).unwrap();
        let (here, there) = (instance("production"), instance("staging"));
        let request = RequestFingerprint::of("update_records", r#"{"ids":[1]}"#);
        let (tool, arguments) = (
            RequestFingerprint::of("delete_records", r#"{"ids":[1]}"#),
            RequestFingerprint::of("update_records", r#"{"ids":[2]}"#),
        );
        let token = |caller, instance, request, content| ApprovalToken {
            secret: &SECRET,
            caller,
            instance,
            fingerprint: request,
            content_digest: content,
        };
        let given = token(&ada, &here, &request, [1; 32]);
        let at = StoreTime::from_millis;
        let text = given.sign(ApproverKind::Model, [9; 8], at(1_000));
        assert_eq!(text.len(), 64);
        let opened = VerifiedApproval {
            nonce: [9; 8],
            expires: at(1_000),
        };
        assert_eq!(
            given.verify(ApproverKind::Model, &text, at(1_000)),
            Ok(opened)
        );
        assert_eq!(
            given.verify(ApproverKind::Model, &text, at(1_001)),
            Err(ApprovalTokenError::Expired)
        );
        assert_eq!(
            given.verify(ApproverKind::Person, &text, at(0)),
            Err(ApprovalTokenError::Foreign)
        );
        for other in [
            token(&bob, &here, &request, [1; 32]),
            token(&ada, &there, &request, [1; 32]),
            token(&ada, &here, &tool, [1; 32]),
            token(&ada, &here, &arguments, [1; 32]),
        ] {
            assert_eq!(
                other.verify(ApproverKind::Model, &text, at(0)),
                Err(ApprovalTokenError::Foreign)
            );
        }
        let later = token(&ada, &here, &request, [2; 32]);
        assert_eq!(
            later.verify(ApproverKind::Model, &text, at(0)),
            Err(ApprovalTokenError::Changed(opened))
        );
        let other_secret = ApprovalToken {
            secret: &[8; 32],
            ..token(&ada, &here, &request, [1; 32])
        };
        assert_eq!(
            other_secret.verify(ApproverKind::Model, &text, at(0)),
            Err(ApprovalTokenError::Foreign)
        );
    }

    #[test]
    fn modified_approval_token_is_rejected() {
        let ada = caller("ada");
        let instance = InstanceName::try_from("production").unwrap();
        let request = RequestFingerprint::of("update_records", "{}");
        let token = ApprovalToken {
            secret: &SECRET,
            caller: &ada,
            instance: &instance,
            fingerprint: &request,
            content_digest: [1; 32],
        };
        let text = token.sign(ApproverKind::Person, [9; 8], StoreTime::from_millis(1_000));
        let start = StoreTime::default();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(
                token.verify(ApproverKind::Person, &changed, start).is_err(),
                "{at}"
            );
        }
        let (short, long) = (text.get(1..).unwrap(), format!("{text}AAAA"));
        for odd in ["", "A", "é", short, &long] {
            assert_eq!(
                token.verify(ApproverKind::Person, odd, start),
                Err(ApprovalTokenError::Foreign)
            );
        }
    }
}
