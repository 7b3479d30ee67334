//! The models and fields that no pattern opens.

/// Models that hold secrets, or through which an administrator's key can do
/// anything: reading or writing them takes a rule that names them in full.
/// A name ending in a dot covers all that begins with it.
const PROTECTED: [&str; 27] = [
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
    "payment.provider",
    "payment.token",
    "res.config.settings",
    "res.groups",
    "res.users",
];

/// Whether the model is one of those, or one of their families (`res.users`
/// covers `res.users.apikeys`).
pub(super) fn is_protected(model: &str) -> bool {
    PROTECTED.iter().any(|name| {
        model
            .strip_prefix(name)
            .is_some_and(|rest| name.ends_with('.') || rest.is_empty() || rest.starts_with('.'))
    })
}

/// Whether a field holds a secret, by its name: a value that lets somebody in
/// where they could not go before. Such a field is opened by its very name only.
pub fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 10] = [
        "api_key",
        "apikey",
        "credential",
        "oauth_access",
        "passwd",
        "password",
        "private_key",
        "recovery_code",
        "secret",
        "totp",
    ];
    const ENDS: [&str; 4] = ["_pass", "_pin", "_pwd", "_token"];
    name == "token"
        || name == "pin"
        || PARTS.iter().any(|part| name.contains(part))
        || ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::{is_protected, is_secret};

    #[test]
    fn secrets_are_known_by_their_names_and_counters_are_none() {
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
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "payment_token_ids",
            "token_id",
            "support_tokenization",
            "passenger",
            "shipping_id",
            "name",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn secret_models_and_their_families_are_protected_and_their_neighbours_are_not() {
        for name in [
            "res.users",
            "res.users.apikeys",
            "ir.cron.trigger",
            "auth.totp",
            "ir.module.module",
        ] {
            assert!(is_protected(name), "{name}");
        }
        for name in [
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
