//! The models and fields that no pattern opens, and the names that records mask.

/// Models that a rule opens only by naming them in full, because a wide role on an
/// administrator's key could otherwise do with them what the role does not say. A name
/// that ends in a dot covers all models whose name starts with it.
///
/// Chosen from the 961 models of Odoo 19's community modules (2026-11). A model that belongs to another through
/// `_inherits` (`website.page` to its view) is bound by that one as well.
const PROTECTED: [&[&str]; 6] = [
    // Secrets: passwords, keys, tokens, codes that are worth money, sessions. Old and
    // new values of the fields of every model, hidden ones included.
    &[
        "account_edi_proxy_client.",
        "auth.",
        "auth_totp.",
        "bus.",
        "calendar.provider.config",
        "certificate.",
        "fetchmail.server",
        "google.",
        "iap.account",
        "ir.config_parameter",
        "ir.logging",
        "ir.mail_server",
        "ir.profile",
        "loyalty.card",
        "mail.guest",
        "mail.ice.server",
        "mail.push",
        "mail.tracking.value",
        "microsoft.",
        "payment.link.wizard",
        "payment.provider",
        "payment.token",
        "res.company.ldap",
        "res.device",
        "sms.",
    ],
    // Users and their rights, and who is let in.
    &[
        "change.password.",
        "ir.rule",
        "portal.",
        "project.share.",
        "res.groups",
        "res.users",
        "spreadsheet.dashboard.share",
        "task.share.wizard",
    ],
    // Code and templates that the server runs, and what runs them. `ir.model` covers
    // access rights, external ids and fields.
    &[
        "base.",
        "digest.tip",
        "gamification.goal.definition",
        "ir.actions.",
        "ir.cron",
        "ir.demo",
        "ir.demo_failure",
        "ir.embedded.actions",
        "ir.model",
        "ir.module.",
        "ir.qweb",
        "res.config",
        "sale.pdf.form.field",
        "server.action.history.wizard",
        "wizard.ir.model.menu.create",
    ],
    // Pages, scripts and files that are served to others, and defaults and searches
    // that apply to them. An attachment with a `url` is served there; it also holds
    // the files of every model.
    &[
        "ir.asset",
        "ir.attachment",
        "ir.default",
        "ir.filters",
        "ir.ui.",
        "reset.view.arch.wizard",
        "theme.",
        "website.controller.page",
        "website.page",
        "website.rewrite",
        "website.snippet.filter",
    ],
    // Messages that Odoo renders from records and sends, who gets them, and where
    // incoming ones go.
    &[
        "account.move.send",
        "applicant.get.refuse.reason",
        "applicant.send.mail",
        "calendar.popover.delete.wizard",
        "card.campaign",
        "card.template",
        "crm.lead.forward.to.partner",
        "fleet.vehicle.send.mail",
        "mail.alias",
        "mail.compose.message",
        "mail.composer.mixin",
        "mail.followers",
        "mail.gateway.allowed",
        "mail.mail",
        "mail.message.schedule",
        "mail.render.mixin",
        "mail.scheduled.message",
        "mail.template",
        "mailing.mailing",
        "mailing.sms.test",
        "slide.channel.invite",
        "snailmail.",
        "survey.invite",
    ],
    // Wizards and rules that read or change records of any model.
    &["base_import.", "data_recycle.", "privacy."],
];

/// Whether the model is protected, or below a protected one (`res.users` covers
/// `res.users.apikeys`): a rule opens it only by naming it in full.
pub fn is_protected(model: &str) -> bool {
    PROTECTED.iter().copied().flatten().any(|name| {
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
const SECRET_WORDS: [(&str, Position, Level); 41] = {
    use {
        Level::{Hidden, Masked},
        Position::{Anywhere, End, Part, Whole},
    };
    [
        ("api_key", Anywhere, Hidden),
        ("apikey", Anywhere, Hidden),
        ("credential", Anywhere, Hidden),
        // Certificates of Saudi e-invoicing, with their secrets.
        ("csid", Anywhere, Hidden),
        // Scripts in every page of a website.
        ("custom_code", Anywhere, Hidden),
        ("hashkey", Anywhere, Hidden),
        // Former values of other fields, also of hidden ones: texts, and the stages
        // that a record was in.
        ("html_field_history", Anywhere, Hidden),
        ("oauth_access", Anywhere, Hidden),
        ("passwd", Anywhere, Hidden),
        ("password", Anywhere, Hidden),
        ("private_key", Anywhere, Hidden),
        ("recovery_code", Anywhere, Hidden),
        ("secret", Anywhere, Hidden),
        ("totp", Anywhere, Hidden),
        ("verification_code", Anywhere, Hidden),
        // Keys of carriers, payment providers and authorities; few others end so.
        ("_key", End, Hidden),
        ("_otp", End, Hidden),
        ("_pass", End, Hidden),
        ("_pin", End, Hidden),
        ("_pwd", End, Hidden),
        ("_rtoken", End, Hidden),
        ("_token", End, Hidden),
        // These addresses contain a token; a channel's `uuid` admits guests.
        ("attendance_kiosk_url", Whole, Hidden),
        ("duration_tracking", Whole, Hidden),
        ("full_url", Whole, Hidden),
        ("invitation_link", Whole, Hidden),
        ("invitation_url", Whole, Hidden),
        ("pin", Whole, Hidden),
        ("self_ordering_url", Whole, Hidden),
        ("share_link", Whole, Hidden),
        ("signup_url", Whole, Hidden),
        ("survey_start_url", Whole, Hidden),
        ("token", Whole, Hidden),
        ("uuid", Whole, Hidden),
        ("videocall_location", Whole, Hidden),
        ("videocall_redirection", Whole, Hidden),
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
            "fedex_developer_key",
            "authorize_signature_key",
            "l10n_gr_edi_aade_key",
            "l10n_sa_production_csid_json",
            "attendance_kiosk_url",
            "custom_code_head",
            "duration_tracking",
            "html_field_history",
            "html_field_history_metadata",
            "invitation_link",
            "l10n_sa_otp",
            "l10n_tw_edi_ecpay_hashkey",
            "self_ordering_url",
            "survey_start_url",
            "videocall_location",
            "videocall_redirection",
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
            "videocall_source",
            "keyword",
            "key_ids",
            "key",
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
            "spreadsheet.dashboard.share",
        ] {
            assert!(is_protected(name), "{name}");
        }
        for name in [
            "spreadsheet.dashboard",
            "res.usersx",
            "website",
            "ir.modelx",
        ] {
            assert!(!is_protected(name), "{name}");
        }
    }

    #[test]
    fn models_that_give_a_wide_role_more_than_it_says_are_protected() {
        for (name, why) in [
            ("account.move.send.wizard", "renders and mails documents"),
            ("account_edi_proxy_client.user", "holds private keys"),
            ("applicant.get.refuse.reason", "renders records into a mail"),
            ("applicant.send.mail", "renders records into a mail"),
            ("auth.oauth.provider", "lets people in"),
            ("auth.passkey.key", "lets people in"),
            ("auth_totp.device", "lets people in"),
            ("base.automation", "runs code"),
            ("base.language.import", "replaces texts of the interface"),
            (
                "base.partner.merge.automatic.wizard",
                "changes links of every model",
            ),
            ("base_import.import", "writes any model"),
            ("bus.bus", "holds notifications of everyone"),
            (
                "calendar.popover.delete.wizard",
                "renders records into a mail",
            ),
            ("card.template", "is rendered as a template"),
            ("card.campaign", "renders records into public images"),
            ("certificate.key", "holds private keys"),
            ("crm.lead.forward.to.partner", "renders records into a mail"),
            ("data_recycle.model", "deletes records of any model"),
            ("digest.tip", "is rendered as a template"),
            ("fetchmail.server", "holds passwords"),
            ("fleet.vehicle.send.mail", "renders records into a mail"),
            ("gamification.goal.definition", "runs code"),
            ("google.calendar.account.reset", "deletes calendars"),
            ("iap.account", "holds tokens that cost money"),
            ("ir.actions.act_url", "opens any page"),
            ("ir.actions.report", "renders any model"),
            ("ir.actions.server", "runs code"),
            ("ir.asset", "runs scripts in browsers"),
            ("ir.attachment", "is served, and holds files of every model"),
            ("ir.cron", "runs code"),
            ("ir.default", "sets values of others"),
            ("ir.demo", "changes the database"),
            ("ir.demo_failure.wizard", "changes the database"),
            ("ir.embedded.actions", "calls methods"),
            ("ir.filters", "applies to others"),
            ("ir.model", "changes the database"),
            ("ir.model.access", "grants rights"),
            ("ir.model.data", "names records of every model"),
            ("ir.model.fields", "runs code"),
            ("ir.ui.menu", "opens any action"),
            ("ir.ui.view", "runs templates"),
            ("ir.ui.view.custom", "is shown to others"),
            ("loyalty.card", "its code is money"),
            ("mail.alias", "creates records from mails"),
            ("mail.compose.message", "renders records into a mail"),
            ("mail.followers", "sends records to anyone"),
            ("mail.followers.edit", "sends records to anyone"),
            ("mail.gateway.allowed", "lets mails in"),
            ("mail.mail", "sends mails"),
            ("mail.message.schedule", "sends mails"),
            ("mail.push.device", "receives notifications of others"),
            ("mail.scheduled.message", "sends mails"),
            ("mail.template", "renders records into a mail"),
            ("mail.tracking.value", "holds hidden values"),
            ("mailing.mailing", "renders records into mails"),
            ("mailing.mailing.test", "sends mails"),
            ("mailing.sms.test", "sends messages"),
            ("microsoft.calendar.account.reset", "deletes calendars"),
            ("payment.link.wizard", "makes links with tokens"),
            ("payment.provider", "holds keys"),
            ("payment.token", "pays"),
            ("portal.share", "grants access"),
            ("portal.wizard", "grants access"),
            (
                "privacy.lookup.wizard",
                "finds and deletes records of any model",
            ),
            ("project.share.wizard", "grants access"),
            ("res.company.ldap", "holds a password, lets people in"),
            ("res.config.settings", "changes everything"),
            ("res.device.log", "holds sessions"),
            ("res.groups.privilege", "grants rights"),
            ("reset.view.arch.wizard", "changes templates"),
            ("sale.pdf.form.field", "prints fields by path"),
            ("server.action.history.wizard", "changes code"),
            ("slide.channel.invite", "renders records into a mail"),
            ("sms.composer", "sends messages"),
            ("sms.sms", "holds codes"),
            ("sms.twilio.account.manage", "holds tokens"),
            ("snailmail.letter", "sends letters"),
            ("survey.invite", "renders records into a mail"),
            ("task.share.wizard", "grants access"),
            ("theme.ir.ui.view", "runs templates"),
            ("website.controller.page", "is served"),
            ("website.page", "runs templates"),
            ("website.rewrite", "redirects visitors"),
            (
                "website.snippet.filter",
                "shows records of any model to visitors",
            ),
            ("wizard.ir.model.menu.create", "opens any action"),
        ] {
            assert!(is_protected(name), "{name} {why}");
        }
    }

    #[test]
    fn models_of_daily_work_are_open_to_patterns() {
        for name in [
            "account.move",
            "calendar.event",
            "delivery.carrier",
            "discuss.channel",
            "coupon.share",
            "event.mail",
            "hr.employee",
            "ir.exports",
            "ir.sequence",
            "loyalty.program",
            "mail.activity",
            "mail.activity.plan",
            "mail.canned.response",
            "mail.message",
            "mail.message.subtype",
            "mail.notification",
            "mailing.contact",
            "mailing.list",
            "payment.method",
            "payment.transaction",
            "pos.payment.method",
            "project.task",
            "report.paperformat",
            "res.company",
            "res.partner",
            "res.partner.bank",
            "slide.channel",
            "survey.survey",
            "utm.campaign",
            "website",
            "website.menu",
            "website.visitor",
        ] {
            assert!(!is_protected(name), "{name}");
        }
    }
}
