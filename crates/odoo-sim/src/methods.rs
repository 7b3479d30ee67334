//! The methods that can be called, with their signatures.

use serde_json::{Value, json};

use super::{
    actions, call::Invocation, copying, load, messages, models, refusal::FakeOdooError,
    transaction::Transaction,
};

/// A method: on which models, how it is called, what it does.
pub(super) struct Method {
    pub(super) name: &'static str,
    scope: ModelScope,
    /// Python's signature with its annotations.
    pub(super) signature: &'static str,
    /// Odoo's decorators: `model` takes no ids, `readonly` needs no writing.
    pub(super) api: &'static [&'static str],
    /// The model and the module that introduce it.
    pub(super) origin: (&'static str, &'static str),
    pub(super) run: MethodBody,
}

enum ModelScope {
    Any,
    Only(&'static str),
    Threads,
}

/// What a method does.
#[derive(Clone, Copy)]
pub(super) enum MethodBody {
    Read(fn(&Invocation<'_>) -> Result<Value, FakeOdooError>),
    Write(fn(&mut Transaction<'_>, &Invocation<'_>) -> Result<Value, FakeOdooError>),
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

const API_MODEL: &[&str] = &["model"];
const API_MODEL_READONLY: &[&str] = &["model", "readonly"];
const API_READONLY: &[&str] = &["readonly"];
const API_RECORDS: &[&str] = &[];

const CORE: (&str, &str) = ("core", "core");

const fn read_method(
    name: &'static str,
    signature: &'static str,
    api: &'static [&'static str],
    run: fn(&Invocation<'_>) -> Result<Value, FakeOdooError>,
) -> Method {
    Method {
        name,
        scope: ModelScope::Any,
        signature,
        api,
        origin: CORE,
        run: MethodBody::Read(run),
    }
}

const fn write_method(
    name: &'static str,
    on: ModelScope,
    signature: &'static str,
    api: &'static [&'static str],
    from: (&'static str, &'static str),
    run: fn(&mut Transaction<'_>, &Invocation<'_>) -> Result<Value, FakeOdooError>,
) -> Method {
    Method {
        name,
        scope: on,
        signature,
        api,
        origin: from,
        run: MethodBody::Write(run),
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
    write_method(
        "action_archive",
        ModelScope::Any,
        "()",
        API_RECORDS,
        CORE,
        |t, call| actions::set_active(t, call, false),
    ),
    write_method(
        "action_cancel",
        ModelScope::Only("sale.order"),
        "()",
        API_RECORDS,
        ORDER,
        actions::cancel_orders,
    ),
    write_method(
        "action_confirm",
        ModelScope::Only("sale.order"),
        "() -> bool",
        API_RECORDS,
        ORDER,
        actions::confirm_orders,
    ),
    write_method(
        "action_draft",
        ModelScope::Only("sale.order"),
        "()",
        API_RECORDS,
        ORDER,
        actions::reset_orders_to_draft,
    ),
    write_method(
        "action_lock",
        ModelScope::Only("sale.order"),
        "()",
        API_RECORDS,
        ORDER,
        |t, call| actions::set_orders_locked(t, call, true),
    ),
    write_method(
        "action_post",
        ModelScope::Only("account.move"),
        "()",
        API_RECORDS,
        INVOICE,
        actions::post_invoices,
    ),
    Method {
        name: "action_preview_sale_order",
        scope: ModelScope::Only("sale.order"),
        signature: "()",
        api: API_READONLY,
        origin: ORDER,
        run: MethodBody::Read(actions::preview_order),
    },
    write_method(
        "action_restore",
        ModelScope::Only("crm.lead"),
        "()",
        API_RECORDS,
        LEAD,
        actions::restore_leads,
    ),
    write_method(
        "action_set_lost",
        ModelScope::Only("crm.lead"),
        "(**additional_values)",
        API_RECORDS,
        LEAD,
        actions::mark_leads_lost,
    ),
    write_method(
        "action_set_won",
        ModelScope::Only("crm.lead"),
        "()",
        API_RECORDS,
        LEAD,
        actions::mark_leads_won,
    ),
    write_method(
        "action_unarchive",
        ModelScope::Any,
        "()",
        API_RECORDS,
        CORE,
        |t, call| actions::set_active(t, call, true),
    ),
    write_method(
        "action_unlock",
        ModelScope::Only("sale.order"),
        "()",
        API_RECORDS,
        ORDER,
        |t, call| actions::set_orders_locked(t, call, false),
    ),
    Method {
        name: "context_get",
        scope: ModelScope::Only("res.users"),
        signature: "()",
        api: API_MODEL,
        origin: ("res.users", "base"),
        run: MethodBody::Read(|call| {
            Ok(json!({"lang": "en_US", "tz": "Europe/Brussels", "uid": call.session.user.id}))
        }),
    },
    write_method(
        "convert_opportunity",
        ModelScope::Only("crm.lead"),
        "(partner, user_ids=False, team_id=False)",
        API_RECORDS,
        LEAD,
        actions::convert_leads,
    ),
    write_method(
        "copy",
        ModelScope::Any,
        "(default: ValuesType | None = None) -> list[int]",
        API_RECORDS,
        CORE,
        copying::copy,
    ),
    write_method(
        "create",
        ModelScope::Any,
        "(vals_list: list[ValuesType]) -> list[int]",
        API_MODEL,
        CORE,
        |t, call| t.call_create(call),
    ),
    read_method(
        "default_get",
        "(fields: Sequence[str]) -> ValuesType",
        API_MODEL,
        |call| Ok(call.default_get()),
    ),
    read_method(
        "fields_get",
        "(allfields: Collection[str] | None = None, attributes: Collection[str] | None = None) -> dict[str, ValuesType]",
        API_MODEL,
        |call| Ok(call.fields_get()),
    ),
    Method {
        name: "get_available_models",
        scope: ModelScope::Only("ir.model"),
        signature: "()",
        api: API_MODEL,
        origin: ("ir.model", "web"),
        run: MethodBody::Read(|call| Ok(call.available_models())),
    },
    read_method(
        "get_metadata",
        "() -> list[ValuesType]",
        API_RECORDS,
        |call| call.get_metadata(),
    ),
    Method {
        name: "get_portal_url",
        scope: ModelScope::Only("sale.order"),
        signature: "(suffix=None, report_type=None, download=None, query_string=None, anchor=None)",
        api: API_RECORDS,
        origin: ("portal.mixin", "portal"),
        run: MethodBody::Read(actions::portal_url),
    },
    read_method(
        "has_access",
        "(operation: str) -> bool",
        API_RECORDS,
        |call| call.has_access(),
    ),
    write_method(
        "load",
        ModelScope::Any,
        "(fields, data)",
        API_MODEL,
        CORE,
        load::load,
    ),
    write_method(
        "message_post",
        ModelScope::Threads,
        "(body: str|Markup = '', subject: str = None, message_type: str = 'notification', email_from: str = None, author_id: int = None, parent_id: int = False, subtype_xmlid: str = None, subtype_id: int = False, partner_ids: list(int) = None, attachments: list(tuple(str,str), tuple(str,str, dict)) = None, attachment_ids: list = None, body_is_html: bool = False, **kwargs)",
        API_RECORDS,
        THREAD,
        messages::post_message,
    ),
    write_method(
        "message_subscribe",
        ModelScope::Threads,
        "(partner_ids=None, subtype_ids=None)",
        API_RECORDS,
        THREAD,
        messages::subscribe,
    ),
    write_method(
        "message_unsubscribe",
        ModelScope::Threads,
        "(partner_ids=None)",
        API_RECORDS,
        THREAD,
        messages::unsubscribe,
    ),
    write_method(
        "name_create",
        ModelScope::Any,
        "(name: str) -> tuple[int, str] | typing.Literal[False]",
        API_MODEL,
        CORE,
        |t, call| t.name_create(call),
    ),
    read_method(
        "name_search",
        "(name: str = '', domain: DomainType | None = None, operator: str = 'ilike', limit: int = 100) -> list[tuple[int, str]]",
        API_MODEL_READONLY,
        |call| call.name_search(),
    ),
    read_method(
        "read",
        "(fields: Sequence[str] | None = None, load: str = '_classic_read') -> list[ValuesType]",
        API_READONLY,
        |call| call.read(),
    ),
    read_method(
        "search",
        "(domain: DomainType, offset: int = 0, limit: int | None = None, order: str | None = None) -> list[int]",
        API_MODEL_READONLY,
        |call| call.search_ids(),
    ),
    read_method(
        "search_count",
        "(domain: DomainType, limit: int | None = None) -> int",
        API_MODEL_READONLY,
        |call| call.search_count(),
    ),
    read_method(
        "search_read",
        "(domain: DomainType | None = None, fields: Sequence[str] | None = None, offset: int = 0, limit: int | None = None, order: str | None = None, **read_kwargs) -> list[ValuesType]",
        API_MODEL_READONLY,
        |call| call.search_read(),
    ),
    write_method(
        "unlink",
        ModelScope::Any,
        "() -> typing.Literal[True]",
        API_RECORDS,
        CORE,
        |t, call| t.call_unlink(call),
    ),
    write_method(
        "web_save",
        ModelScope::Any,
        "(vals, specification: dict[str, dict], next_id=None) -> list[dict]",
        API_RECORDS,
        ("base", "web"),
        |t, call| t.web_save(call),
    ),
    write_method(
        "write",
        ModelScope::Any,
        "(vals: ValuesType) -> typing.Literal[True]",
        API_RECORDS,
        CORE,
        |t, call| t.call_write(call),
    ),
];

/// The methods of a model.
pub(super) fn for_model(model: &str) -> impl Iterator<Item = &'static Method> {
    METHODS.iter().filter(move |method| match method.scope {
        ModelScope::Any => true,
        ModelScope::Only(only) => only == model,
        ModelScope::Threads => models::is_thread(model),
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
    pub(super) fn return_annotation(&self) -> Option<&'static str> {
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
