//! The fingerprint of a request: what makes a repeated call the same one.

use gatepost_base::digest::json_digest;
use serde_json::Value;

/// The identity of a request: its tool, its arguments, and the options that are not
/// part of what it changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestFingerprint {
    /// The tool.
    pub tool: &'static str,
    /// The digest of the arguments that say what to change.
    pub digest: [u8; 32],
    /// The client's name for the request, under which it is done once.
    pub idempotency_key: Option<String>,
    /// The token from the preview.
    pub confirm_token: Option<String>,
}

impl RequestFingerprint {
    /// The fingerprint of a call with these arguments, a JSON object. Two calls
    /// are the same if they differ only in the order of members, the key and the
    /// token.
    pub fn of(tool: &'static str, arguments: &str) -> Self {
        let mut arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        let mut text = |name: &str| {
            let value = arguments.as_object_mut()?.shift_remove(name)?;
            value
                .as_str()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let (idempotency_key, confirm_token) = (text("idempotency_key"), text("confirm"));
        Self {
            tool,
            digest: json_digest(&arguments),
            idempotency_key,
            confirm_token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RequestFingerprint;

    #[test]
    fn request_digest_ignores_member_order_key_and_confirm_token() {
        let of = |arguments| RequestFingerprint::of("update_records", arguments);
        let plain = of(r#"{"model":"res.partner","ids":[1],"values":{"a":1,"b":"x"}}"#);
        let other = of(
            r#"{"confirm":" c1 ","values":{"b":"x","a":1},"ids":[1],"model":"res.partner","idempotency_key":"k"}"#,
        );
        assert_eq!(plain.digest, other.digest);
        assert_eq!(
            (
                other.idempotency_key.as_deref(),
                other.confirm_token.as_deref()
            ),
            (Some("k"), Some("c1"))
        );
        assert_eq!((plain.idempotency_key, plain.confirm_token), (None, None));
        for different in [
            r#"{"model":"res.partner","ids":[1],"values":{"a":1,"b":"y"}}"#,
            r#"{"model":"res.partner","ids":[1],"values":{"a":"1","b":"x"}}"#,
            r#"{"model":"res.partner","ids":[[1]],"values":{"a":1,"b":"x"}}"#,
            r#"{"model":"res.partner","ids":[1],"values":{"a":1},"b":"x"}"#,
        ] {
            assert_ne!(of(different).digest, plain.digest, "{different}");
        }
    }
}
