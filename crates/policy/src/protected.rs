//! The models and fields that no pattern opens, and the names that records mask.

/// Models that hold secrets, or through which an administrator's key can do
/// anything. A rule opens them only by naming them in full. A name that ends in
/// a dot covers all models whose name starts with it.
/// `mail.tracking.value` is one because it holds old and new values of fields of
/// every model, hidden ones included.
const PROTECTED: [&str; 32] = [
    "auth.",
    "base.",
    "bus.",
    "calendar.provider.config",
    "change.password.",
    "fetchmail.server",
    "google.gmail.mixin",
    "iap.account",
    "ir.actions.server",
    "ir.config_parameter",
    "ir.cron",
    "ir.logging",
    "ir.mail_server",
    "ir.model.access",
    "ir.model.data",
    "ir.model.fields",
    "ir.module.",
    "ir.profile",
    "ir.rule",
    "ir.ui.view",
    "mail.guest",
    "mail.ice.server",
    "mail.push.device",
    "mail.tracking.value",
    "payment.provider",
    "payment.token",
    "portal.share",
    "res.config.settings",
    "res.groups",
    "res.users",
    "sms.account.code",
    "spreadsheet.dashboard.share",
];

/// Whether the model is protected, or below a protected one (`res.users` covers
/// `res.users.apikeys`): a rule opens it only by naming it in full.
pub fn is_protected(model: &str) -> bool {
    PROTECTED.iter().any(|name| {
        model
            .strip_prefix(name)
            .is_some_and(|rest| name.ends_with('.') || rest.is_empty() || rest.starts_with('.'))
    })
}

/// Where in a field name a word must be to mark a secret.
enum Position {
    /// At any place.
    Anywhere,
    /// At the end.
    End,
    /// Between underscores: `shipping` and `monkey` have no `pin` and no `key`.
    Part,
    /// It is the whole name.
    Whole,
}

/// How strictly a secret is protected.
#[derive(PartialEq)]
enum Level {
    /// Callers read such a field only where a rule names it in full; it is
    /// masked, too.
    Hidden,
    /// Callers may read it; audit records and method results mask it.
    Masked,
}

/// The words that mark a field as a secret: a value that grants access to
/// anyone who knows it.
const SECRET_WORDS: [(&str, Position, Level); 27] = {
    use {
        Level::{Hidden, Masked},
        Position::{Anywhere, End, Part, Whole},
    };
    [
        ("api_key", Anywhere, Hidden),
        ("apikey", Anywhere, Hidden),
        ("credential", Anywhere, Hidden),
        ("oauth_access", Anywhere, Hidden),
        ("passwd", Anywhere, Hidden),
        ("password", Anywhere, Hidden),
        ("private_key", Anywhere, Hidden),
        ("recovery_code", Anywhere, Hidden),
        ("secret", Anywhere, Hidden),
        ("totp", Anywhere, Hidden),
        ("verification_code", Anywhere, Hidden),
        ("_pass", End, Hidden),
        ("_pin", End, Hidden),
        ("_pwd", End, Hidden),
        ("_rtoken", End, Hidden),
        ("_token", End, Hidden),
        // These addresses contain a token; a channel's `uuid` admits guests.
        ("full_url", Whole, Hidden),
        ("invitation_url", Whole, Hidden),
        ("pin", Whole, Hidden),
        ("share_link", Whole, Hidden),
        ("token", Whole, Hidden),
        ("uuid", Whole, Hidden),
        ("key", Part, Masked),
        ("keys", Part, Masked),
        ("passw", Anywhere, Masked),
        ("pin", Part, Masked),
        ("token", Anywhere, Masked),
    ]
};

impl Position {
    fn has(&self, name: &str, word: &str) -> bool {
        match self {
            Self::Anywhere => name.contains(word),
            Self::End => name.ends_with(word),
            Self::Part => name.split('_').any(|part| part == word),
            Self::Whole => name == word,
        }
    }
}

/// Whether a field is hidden from callers because its name sounds like a secret.
/// A rule opens such a field only by naming it in full, never by a pattern.
pub fn is_secret(name: &str) -> bool {
    SECRET_WORDS
        .iter()
        .any(|(word, position, level)| *level == Level::Hidden && position.has(name, word))
}

/// Whether audit records and method results mask what has this name: every
/// secret field, and those whose name only might mean one. Ignores case.
pub fn is_masked(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS
        .iter()
        .any(|(word, position, _)| position.has(&name, word))
}

/// Whether a text contains a name that [`is_masked`], as the address
/// `/my?access_token=4f1c` does.
pub fn mentions_secret(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(is_masked)
}

#[cfg(test)]
mod tests {
    use super::{is_masked, is_protected, is_secret, mentions_secret};

    #[test]
    fn secret_fields_are_recognized_by_name() {
        for name in [
            "access_token",
            "account_token",
            "smtp_pass",
            "totp_secret",
            "password",
            "new_password",
            "credential",
            "oauth_access_token",
            "openai_api_key",
            "pin",
            "google_calendar_rtoken",
            "share_link",
            "full_url",
            "invitation_url",
            "uuid",
            "verification_code",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "payment_token_ids",
            "token_id",
            "support_tokenization",
            "passenger",
            "shipping_id",
            "website_url",
            "access_url",
            "default_code",
            "sms_uuid",
            "name",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn masked_names_include_secret_ones_and_ignore_case() {
        for name in [
            "password",
            "new_password",
            "api_key",
            "key",
            "ssh_keys",
            "pin_code",
            "totp_secret",
            "access_token",
            "payment_token_ids",
            "google_calendar_rtoken",
            "pin",
            "smtp_pass",
            "db_pwd",
            "recovery_code",
            "Password",
        ] {
            assert!(is_masked(name), "{name}");
        }
        for name in ["name", "shipping_id", "monkey", "partner_id", "keyword"] {
            assert!(!is_masked(name), "{name}");
        }
    }

    #[test]
    fn text_with_a_masked_name_mentions_a_secret() {
        for text in [
            "/my/orders/28?access_token=4f1c",
            "Your new Password: x",
            "smtp_pass=x",
            "door_pin: 1234",
            "db_pwd is x",
            "calendar_rtoken",
        ] {
            assert!(mentions_secret(text), "{text}");
        }
        for text in ["S00007", "", "Shipping is on its way", "/my/orders/28"] {
            assert!(!mentions_secret(text), "{text}");
        }
    }

    #[test]
    fn protected_models_include_submodels_but_not_similar_names() {
        for name in [
            "res.users",
            "res.users.apikeys",
            "ir.cron.trigger",
            "auth.totp",
            "ir.module.module",
            "mail.tracking.value",
            "spreadsheet.dashboard.share",
            "portal.share",
        ] {
            assert!(is_protected(name), "{name}");
        }
        for name in [
            "spreadsheet.dashboard",
            "mail.message",
            "res.usersx",
            "res.partner",
            "ir.model",
            "ir.attachment",
            "payment.transaction",
        ] {
            assert!(!is_protected(name), "{name}");
        }
    }
}
