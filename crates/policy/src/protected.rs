//! The models and fields that no pattern opens.

/// Models that hold secrets, or through which an administrator's key can do
/// anything: reading or writing them takes a rule that names them in full.
/// `mail.tracking.value` has old and new values of fields of every model, also
/// of those that are hidden there.
/// A name ending in a dot covers all that begins with it.
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

/// Whether the model is one of those, or one of their families (`res.users`
/// covers `res.users.apikeys`).
pub fn is_protected(model: &str) -> bool {
    PROTECTED.iter().any(|name| {
        model
            .strip_prefix(name)
            .is_some_and(|rest| name.ends_with('.') || rest.is_empty() || rest.starts_with('.'))
    })
}

/// Whether a field holds a secret, by its name: a value that lets somebody in
/// where they could not go before. Such a field is opened by its very name only.
pub fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 11] = [
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
        "verification_code",
    ];
    const ENDS: [&str; 5] = ["_pass", "_pin", "_pwd", "_rtoken", "_token"];
    // The addresses have a token in them; by a channel's `uuid` guests come in.
    const WHOLE: [&str; 6] = [
        "full_url",
        "invitation_url",
        "pin",
        "share_link",
        "token",
        "uuid",
    ];
    WHOLE.contains(&name)
        || PARTS.iter().any(|part| name.contains(part))
        || ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::{is_protected, is_secret};

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
