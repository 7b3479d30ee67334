//! The methods in `data/methods.txt`, which describes its format, and their bodies.

use std::sync::LazyLock;

use serde_json::json;

use super::{
    actions,
    data_file::{Section, sections},
    load, messages,
    method::{
        Method,
        MethodBody::{self, Read, Write},
    },
    table::Table,
};

/// All methods, by name.
static METHODS: LazyLock<Vec<Method>> = LazyLock::new(|| {
    let mut methods: Vec<_> = sections(include_str!("../data/methods.txt"))
        .flat_map(|section| {
            section
                .body
                .lines()
                .filter_map(move |line| parse(&section, line))
        })
        .collect();
    methods.sort_by_key(|method| method.name);
    methods
});

/// The methods of a model.
pub(super) fn for_model(table: &Table) -> impl Iterator<Item = &'static Method> {
    METHODS.iter().filter(|method| match method.scope {
        "*" => true,
        "thread" => table.is_thread(),
        model => model == table.model,
    })
}

fn parse(section: &Section, line: &'static str) -> Option<Method> {
    let (model, module) = section.heading.split_once(" | ")?;
    let (name, rest) = line.split_once(' ')?;
    let (api, signature) = rest.split_once(' ')?;
    Some(Method {
        name,
        scope: section.name,
        model,
        module,
        signature,
        api: api.split(',').filter(|word| *word != "-").collect(),
        body: body(name)?,
    })
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method of a type that borrows is not general enough to be such a pointer"
)]
fn body(name: &str) -> Option<MethodBody> {
    Some(match name {
        "action_archive" => Write(|t, call| actions::set_active(t, call, false)),
        "action_cancel" => Write(actions::cancel_orders),
        "action_confirm" => Write(actions::confirm_orders),
        "action_draft" => Write(actions::reset_orders_to_draft),
        "action_lock" => Write(|t, call| actions::set_orders_locked(t, call, true)),
        "action_preview_sale_order" => Read(actions::preview_order),
        "action_set_lost" => Write(actions::mark_leads_lost),
        "action_set_won" => Write(actions::mark_leads_won),
        "action_unarchive" => Write(|t, call| actions::set_active(t, call, true)),
        "action_unlock" => Write(|t, call| actions::set_orders_locked(t, call, false)),
        "context_get" => Read(|call| {
            Ok(json!({"lang": "en_US", "tz": "Europe/Brussels", "uid": call.session.user.id}))
        }),
        "create" => Write(|t, call| t.call_create(call)),
        "default_get" => Read(|call| Ok(call.default_get())),
        "fields_get" => Read(|call| Ok(call.fields_get())),
        "formatted_read_group" => Read(|call| call.formatted_read_group()),
        "get_available_models" => Read(|call| Ok(call.available_models())),
        "get_portal_url" => Read(actions::portal_url),
        "load" => Write(load::load),
        "message_post" => Write(messages::post_message),
        "message_subscribe" => Write(messages::subscribe),
        "name_search" => Read(|call| call.name_search()),
        "read" => Read(|call| call.read()),
        "search" => Read(|call| call.search_ids()),
        "search_count" => Read(|call| call.search_count()),
        "search_read" => Read(|call| call.search_read()),
        "unlink" => Write(|t, call| t.call_unlink(call)),
        "write" => Write(|t, call| t.call_write(call)),
        _ => return None,
    })
}
