//! What a call says about itself, beside what is to be changed.

use gatepost_base::digest::json_digest;
use serde_json::Value;

/// What a call says about itself, beside what is to be changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestFingerprint {
    /// The tool.
    pub tool: &'static str,
    /// The hash of what is to be changed.
    pub digest: [u8; 32],
    /// The name under which the client wants it done once.
    pub idempotency_key: Option<String>,
    /// What was given out with the preview.
    pub confirm_token: Option<String>,
}

impl RequestFingerprint {
    /// The wish of a call with these arguments, an object. Two calls wish the
    /// same when they differ in nothing but the order of members, the key and
    /// the confirmation.
    pub fn of(tool: &'static str, arguments: &str) -> Self {
        let mut arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        let mut text = |name: &str| {
            let taken = arguments.as_object_mut()?.shift_remove(name)?;
            taken
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
