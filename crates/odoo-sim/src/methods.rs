//! The methods that can be called, with their signatures.

use serde_json::{Value, json};

use super::{
    actions, call::Call, copying, load, messages, models, refusal::Refusal,
    transaction::Transaction,
};

/// A method: on which models, how it is called, what it does.
pub(super) struct Method {
    pub(super) name: &'static str,
    on: On,
    /// Python's signature with its annotations.
    pub(super) signature: &'static str,
    /// Odoo's decorators: `model` takes no ids, `readonly` needs no writing.
    pub(super) api: &'static [&'static str],
    /// The model and the module that introduce it.
    pub(super) from: (&'static str, &'static str),
    pub(super) run: Run,
}

enum On {
    Any,
    Only(&'static str),
    Threads,
}

/// What a method does.
#[derive(Clone, Copy)]
pub(super) enum Run {
    Reads(fn(&Call<'_>) -> Result<Value, Refusal>),
    Writes(fn(&mut Transaction<'_>, &Call<'_>) -> Result<Value, Refusal>),
}

/// One parameter of a signature.
#[derive(Debug, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) annotation: Option<&'static str>,
    /// As Python writes it.
    pub(super) default: Option<&'static str>,
    /// Whether it stands for all that has no parameter of its own.
    pub(super) variadic: bool,
}

const MODEL: &[&str] = &["model"];
const MODEL_READONLY: &[&str] = &["model", "readonly"];
const READONLY: &[&str] = &["readonly"];
const RECORDS: &[&str] = &[];

const CORE: (&str, &str) = ("core", "core");

const fn reads(
    name: &'static str,
    signature: &'static str,
    api: &'static [&'static str],
    run: fn(&Call<'_>) -> Result<Value, Refusal>,
) -> Method {
    Method {
        name,
        on: On::Any,
        signature,
        api,
        from: CORE,
        run: Run::Reads(run),
    }
}

const fn writes(
    name: &'static str,
    on: On,
    signature: &'static str,
    api: &'static [&'static str],
    from: (&'static str, &'static str),
    run: fn(&mut Transaction<'_>, &Call<'_>) -> Result<Value, Refusal>,
) -> Method {
    Method {
        name,
        on,
        signature,
        api,
        from,
        run: Run::Writes(run),
    }
}

const LEAD: (&str, &str) = ("crm.lead", "crm");
const ORDER: (&str, &str) = ("sale.order", "sale");
const THREAD: (&str, &str) = ("mail.thread", "mail");
const INVOICE: (&str, &str) = ("account.move", "account");

/// All methods, by name.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method of a type that borrows is not general enough to be such a pointer"
)]
const METHODS: &[Method] = &[
    writes("action_archive", On::Any, "()", RECORDS, CORE, |t, call| {
        actions::archive(t, call, false)
    }),
    writes(
        "action_cancel",
        On::Only("sale.order"),
        "()",
        RECORDS,
        ORDER,
        actions::cancel_orders,
    ),
    writes(
        "action_confirm",
        On::Only("sale.order"),
        "() -> bool",
        RECORDS,
        ORDER,
        actions::confirm_orders,
    ),
    writes(
        "action_draft",
        On::Only("sale.order"),
        "()",
        RECORDS,
        ORDER,
        actions::draft_orders,
    ),
    writes(
        "action_lock",
        On::Only("sale.order"),
        "()",
        RECORDS,
        ORDER,
        |t, call| actions::lock_orders(t, call, true),
    ),
    writes(
        "action_post",
        On::Only("account.move"),
        "()",
        RECORDS,
        INVOICE,
        actions::post_invoices,
    ),
    Method {
        name: "action_preview_sale_order",
        on: On::Only("sale.order"),
        signature: "()",
        api: READONLY,
        from: ORDER,
        run: Run::Reads(actions::preview_order),
    },
    writes(
        "action_restore",
        On::Only("crm.lead"),
        "()",
        RECORDS,
        LEAD,
        actions::restore_leads,
    ),
    writes(
        "action_set_lost",
        On::Only("crm.lead"),
        "(**additional_values)",
        RECORDS,
        LEAD,
        actions::lose_leads,
    ),
    writes(
        "action_set_won",
        On::Only("crm.lead"),
        "()",
        RECORDS,
        LEAD,
        actions::win_leads,
    ),
    writes(
        "action_unarchive",
        On::Any,
        "()",
        RECORDS,
        CORE,
        |t, call| actions::archive(t, call, true),
    ),
    writes(
        "action_unlock",
        On::Only("sale.order"),
        "()",
        RECORDS,
        ORDER,
        |t, call| actions::lock_orders(t, call, false),
    ),
    Method {
        name: "context_get",
        on: On::Only("res.users"),
        signature: "()",
        api: MODEL,
        from: ("res.users", "base"),
        run: Run::Reads(|call| {
            Ok(json!({"lang": "en_US", "tz": "Europe/Brussels", "uid": call.session.user.id}))
        }),
    },
    writes(
        "convert_opportunity",
        On::Only("crm.lead"),
        "(partner, user_ids=False, team_id=False)",
        RECORDS,
        LEAD,
        actions::convert_leads,
    ),
    writes(
        "copy",
        On::Any,
        "(default: ValuesType | None = None) -> list[int]",
        RECORDS,
        CORE,
        copying::copy,
    ),
    writes(
        "create",
        On::Any,
        "(vals_list: list[ValuesType]) -> list[int]",
        MODEL,
        CORE,
        |t, call| t.create_called(call),
    ),
    reads(
        "default_get",
        "(fields: Sequence[str]) -> ValuesType",
        MODEL,
        |call| Ok(call.default_get()),
    ),
    reads(
        "fields_get",
        "(allfields: Collection[str] | None = None, attributes: Collection[str] | None = None) -> dict[str, ValuesType]",
        MODEL,
        |call| Ok(call.fields_get()),
    ),
    Method {
        name: "get_available_models",
        on: On::Only("ir.model"),
        signature: "()",
        api: MODEL,
        from: ("ir.model", "web"),
        run: Run::Reads(|call| Ok(call.models())),
    },
    reads("get_metadata", "() -> list[ValuesType]", RECORDS, |call| {
        call.get_metadata()
    }),
    Method {
        name: "get_portal_url",
        on: On::Only("sale.order"),
        signature: "(suffix=None, report_type=None, download=None, query_string=None, anchor=None)",
        api: RECORDS,
        from: ("portal.mixin", "portal"),
        run: Run::Reads(actions::portal_url),
    },
    reads("has_access", "(operation: str) -> bool", RECORDS, |call| {
        call.has_access()
    }),
    writes("load", On::Any, "(fields, data)", MODEL, CORE, load::load),
    writes(
        "message_post",
        On::Threads,
        "(body: str|Markup = '', subject: str = None, message_type: str = 'notification', email_from: str = None, author_id: int = None, parent_id: int = False, subtype_xmlid: str = None, subtype_id: int = False, partner_ids: list(int) = None, attachments: list(tuple(str,str), tuple(str,str, dict)) = None, attachment_ids: list = None, body_is_html: bool = False, **kwargs)",
        RECORDS,
        THREAD,
        messages::post,
    ),
    writes(
        "message_subscribe",
        On::Threads,
        "(partner_ids=None, subtype_ids=None)",
        RECORDS,
        THREAD,
        messages::subscribe,
    ),
    writes(
        "message_unsubscribe",
        On::Threads,
        "(partner_ids=None)",
        RECORDS,
        THREAD,
        messages::unsubscribe,
    ),
    writes(
        "name_create",
        On::Any,
        "(name: str) -> tuple[int, str] | typing.Literal[False]",
        MODEL,
        CORE,
        |t, call| t.name_create(call),
    ),
    reads(
        "name_search",
        "(name: str = '', domain: DomainType | None = None, operator: str = 'ilike', limit: int = 100) -> list[tuple[int, str]]",
        MODEL_READONLY,
        |call| call.name_search(),
    ),
    reads(
        "read",
        "(fields: Sequence[str] | None = None, load: str = '_classic_read') -> list[ValuesType]",
        READONLY,
        |call| call.read(),
    ),
    reads(
        "search",
        "(domain: DomainType, offset: int = 0, limit: int | None = None, order: str | None = None) -> list[int]",
        MODEL_READONLY,
        |call| call.search_ids(),
    ),
    reads(
        "search_count",
        "(domain: DomainType, limit: int | None = None) -> int",
        MODEL_READONLY,
        |call| call.search_count(),
    ),
    reads(
        "search_read",
        "(domain: DomainType | None = None, fields: Sequence[str] | None = None, offset: int = 0, limit: int | None = None, order: str | None = None, **read_kwargs) -> list[ValuesType]",
        MODEL_READONLY,
        |call| call.search_read(),
    ),
    writes(
        "unlink",
        On::Any,
        "() -> typing.Literal[True]",
        RECORDS,
        CORE,
        |t, call| t.unlink_called(call),
    ),
    writes(
        "web_save",
        On::Any,
        "(vals, specification: dict[str, dict], next_id=None) -> list[dict]",
        RECORDS,
        ("base", "web"),
        |t, call| t.web_save(call),
    ),
    writes(
        "write",
        On::Any,
        "(vals: ValuesType) -> typing.Literal[True]",
        RECORDS,
        CORE,
        |t, call| t.write_called(call),
    ),
];

/// The methods of a model.
pub(super) fn of(model: &str) -> impl Iterator<Item = &'static Method> {
    METHODS.iter().filter(move |method| match method.on {
        On::Any => true,
        On::Only(only) => only == model,
        On::Threads => models::is_thread(model),
    })
}

impl Method {
    /// The parameters of its signature.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let inside = self
            .signature
            .split_once('(')
            .map_or("", |(_, rest)| rest)
            .rsplit_once(')')
            .map_or("", |(inside, _)| inside);
        let mut depth = 0_usize;
        inside
            .split(|one: char| {
                match one {
                    '(' | '[' => depth += 1,
                    ')' | ']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                one == ',' && depth == 0
            })
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(Parameter::parse)
            .collect()
    }

    /// What it returns, as Python annotates it.
    pub(super) fn returns(&self) -> Option<&'static str> {
        self.signature
            .rsplit_once(" -> ")
            .map(|(_, returned)| returned)
    }
}

impl Parameter {
    fn parse(text: &'static str) -> Self {
        let (text, variadic) = text
            .strip_prefix("**")
            .map_or((text, false), |name| (name, true));
        let (text, default) = match text.rsplit_once('=') {
            Some((text, default)) => (text.trim(), Some(default.trim())),
            None => (text, None),
        };
        let (name, annotation) = match text.split_once(':') {
            Some((name, annotation)) => (name.trim(), Some(annotation.trim())),
            None => (text, None),
        };
        Self {
            name,
            annotation,
            default,
            variadic,
        }
    }
}
