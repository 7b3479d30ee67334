//! The methods that can be called.

use serde_json::json;

use super::{
    actions, load, messages,
    method::{Method, MethodBody, ModelScope, Origin, ReadBody, WriteBody},
};

const API_MODEL: &[&str] = &["model"];
const API_MODEL_READONLY: &[&str] = &["model", "readonly"];
const API_READONLY: &[&str] = &["readonly"];
const API_RECORDS: &[&str] = &[];

const CORE: Origin = Origin {
    model: "core",
    module: "core",
    scope: ModelScope::Any,
};
const LEAD: Origin = only("crm.lead", "crm");
const MODELS: Origin = only("ir.model", "web");
const ORDER: Origin = only("sale.order", "sale");
const PORTAL: Origin = Origin {
    model: "portal.mixin",
    module: "portal",
    scope: ModelScope::Only("sale.order"),
};
const THREAD: Origin = Origin {
    model: "mail.thread",
    module: "mail",
    scope: ModelScope::Threads,
};
const USERS: Origin = only("res.users", "base");

/// The origin of a method that only its own model has.
const fn only(model: &'static str, module: &'static str) -> Origin {
    Origin {
        model,
        module,
        scope: ModelScope::Only(model),
    }
}

/// A method that reads.
const fn read(
    name: &'static str,
    origin: Origin,
    api: &'static [&'static str],
    signature: &'static str,
    body: ReadBody,
) -> Method {
    Method {
        name,
        origin,
        signature,
        api,
        body: MethodBody::Read(body),
    }
}

/// A method that writes to the records it is called on.
const fn write(
    name: &'static str,
    origin: Origin,
    signature: &'static str,
    body: WriteBody,
) -> Method {
    Method {
        name,
        origin,
        signature,
        api: API_RECORDS,
        body: MethodBody::Write(body),
    }
}

/// A method that writes and takes no ids.
const fn write_model(name: &'static str, signature: &'static str, body: WriteBody) -> Method {
    Method {
        api: API_MODEL,
        ..write(name, CORE, signature, body)
    }
}

/// All methods, by name.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method of a type that borrows is not general enough to be such a pointer"
)]
const METHODS: &[Method] = &[
    write("action_archive", CORE, "()", |t, call| {
        actions::set_active(t, call, false)
    }),
    write("action_cancel", ORDER, "()", actions::cancel_orders),
    write(
        "action_confirm",
        ORDER,
        "() -> bool",
        actions::confirm_orders,
    ),
    write("action_draft", ORDER, "()", actions::reset_orders_to_draft),
    write("action_lock", ORDER, "()", |t, call| {
        actions::set_orders_locked(t, call, true)
    }),
    read(
        "action_preview_sale_order",
        ORDER,
        API_READONLY,
        "()",
        actions::preview_order,
    ),
    write(
        "action_set_lost",
        LEAD,
        "(**additional_values)",
        actions::mark_leads_lost,
    ),
    write("action_set_won", LEAD, "()", actions::mark_leads_won),
    write("action_unarchive", CORE, "()", |t, call| {
        actions::set_active(t, call, true)
    }),
    write("action_unlock", ORDER, "()", |t, call| {
        actions::set_orders_locked(t, call, false)
    }),
    read("context_get", USERS, API_MODEL, "()", |call| {
        Ok(json!({"lang": "en_US", "tz": "Europe/Brussels", "uid": call.session.user.id}))
    }),
    write_model(
        "create",
        "(vals_list: list[ValuesType]) -> list[int]",
        |t, call| t.call_create(call),
    ),
    read(
        "default_get",
        CORE,
        API_MODEL,
        "(fields: Sequence[str]) -> ValuesType",
        |call| Ok(call.default_get()),
    ),
    read(
        "fields_get",
        CORE,
        API_MODEL,
        "(allfields: Collection[str] | None = None, attributes: Collection[str] | None = None) -> dict[str, ValuesType]",
        |call| Ok(call.fields_get()),
    ),
    read("get_available_models", MODELS, API_MODEL, "()", |call| {
        Ok(call.available_models())
    }),
    read(
        "get_portal_url",
        PORTAL,
        API_RECORDS,
        "(suffix=None, report_type=None, download=None, query_string=None, anchor=None)",
        actions::portal_url,
    ),
    write_model("load", "(fields, data)", load::load),
    write(
        "message_post",
        THREAD,
        "(body: str|Markup = '', subject: str = None, message_type: str = 'notification', email_from: str = None, author_id: int = None, parent_id: int = False, subtype_xmlid: str = None, subtype_id: int = False, partner_ids: list(int) = None, attachments: list(tuple(str,str), tuple(str,str, dict)) = None, attachment_ids: list = None, body_is_html: bool = False, **kwargs)",
        messages::post_message,
    ),
    write(
        "message_subscribe",
        THREAD,
        "(partner_ids=None, subtype_ids=None)",
        messages::subscribe,
    ),
    read(
        "name_search",
        CORE,
        API_MODEL_READONLY,
        "(name: str = '', domain: DomainType | None = None, operator: str = 'ilike', limit: int = 100) -> list[tuple[int, str]]",
        |call| call.name_search(),
    ),
    read(
        "read",
        CORE,
        API_READONLY,
        "(fields: Sequence[str] | None = None, load: str = '_classic_read') -> list[ValuesType]",
        |call| call.read(),
    ),
    read(
        "search",
        CORE,
        API_MODEL_READONLY,
        "(domain: DomainType, offset: int = 0, limit: int | None = None, order: str | None = None) -> list[int]",
        |call| call.search_ids(),
    ),
    read(
        "search_count",
        CORE,
        API_MODEL_READONLY,
        "(domain: DomainType, limit: int | None = None) -> int",
        |call| call.search_count(),
    ),
    read(
        "search_read",
        CORE,
        API_MODEL_READONLY,
        "(domain: DomainType | None = None, fields: Sequence[str] | None = None, offset: int = 0, limit: int | None = None, order: str | None = None, **read_kwargs) -> list[ValuesType]",
        |call| call.search_read(),
    ),
    write("unlink", CORE, "() -> typing.Literal[True]", |t, call| {
        t.call_unlink(call)
    }),
    write(
        "write",
        CORE,
        "(vals: ValuesType) -> typing.Literal[True]",
        |t, call| t.call_write(call),
    ),
];

/// The methods of a model.
pub(super) fn for_model(model: &str) -> impl Iterator<Item = &'static Method> {
    METHODS
        .iter()
        .filter(move |method| method.origin.scope.includes(model))
}
