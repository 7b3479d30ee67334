//! Odoo methods that a rule must not simply list in `methods`.

use gatepost_odoo::{MethodName, Operation};

/// Why calling a method by its name would bypass what rules check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MethodRisk {
    /// The method does what this operation does, or reads records that no rule
    /// then checks. A rule must open the operation instead.
    Operation(Operation),
    /// The method sends a text that no caller has seen: rendered from a template,
    /// with any value of a record, or to any address. `message_post` does not.
    SendsUnseenText,
    /// The method writes its arguments to any field, so it is safe only with
    /// argument rules: `action_set_lost` of a lead with `name` renames the lead.
    WritesArguments,
}

impl MethodRisk {
    /// The risk of a method, or `None` if a rule may list it.
    pub fn of(method: &MethodName) -> Option<Self> {
        let name = method.as_str();
        let listed = |list: &[&str]| list.contains(&name);
        if listed(&SENDING) {
            return Some(Self::SendsUnseenText);
        }
        if listed(&ARGUMENT_WRITING) {
            return Some(Self::WritesArguments);
        }
        let (operation, _) = OPERATIONS.iter().find(|(_, names)| listed(names))?;
        Some(Self::Operation(*operation))
    }
}

/// The methods that stand for an operation.
///
/// From a review of all public methods of Odoo 19's models that take a domain,
/// field names, values or another model (`odoo/orm/models.py`, `addons/web`,
/// `addons/mail` and the other modules of the community edition).
const OPERATIONS: [(Operation, &[&str]); 4] = [
    (
        Operation::Create,
        &[
            "copy",
            "create",
            "create_filter",
            "find_or_create_record",
            "load",
            "message_new",
            "message_parse",
            "message_process",
            "message_route",
            "name_create",
            "search_or_create",
        ],
    ),
    (Operation::Delete, &["unlink"]),
    (
        Operation::Read,
        &[
            "activity_search",
            "check_access_rights",
            "copy_data",
            "default_get",
            "export_data",
            "fields_get",
            "formatted_read_group",
            "formatted_read_grouping_sets",
            "get_activity_data",
            "get_avatar_card_data",
            "get_external_id",
            "get_field_translations",
            "get_metadata",
            "get_new_partner",
            "get_property_definition",
            "get_view",
            "get_views",
            "hierarchy_read",
            "html_field_history_get_comparison_at_revision",
            "html_field_history_get_content_at_revision",
            "html_field_history_get_unified_diff_at_revision",
            "load_product_from_pos",
            "mark_all_as_read",
            "name_search",
            "onchange",
            "rating_get_grades",
            "rating_get_stats",
            "read",
            "read_config_open_orders",
            "read_group",
            "read_pos_orders",
            "read_progress_bar",
            "search",
            "search_count",
            "search_paid_order_ids",
            "search_panel_select_multi_range",
            "search_panel_select_range",
            "search_read",
            "web_name_search",
            "web_read",
            "web_read_group",
            "web_search_read",
        ],
    ),
    (
        Operation::Write,
        &[
            "copy_translations",
            "message_update",
            "update_field_translations",
            "web_override_translations",
            "web_resequence",
            "web_save",
            "web_save_multi",
            "write",
        ],
    ),
];

const SENDING: [&str; 5] = [
    "message_mail_with_source",
    "message_notify",
    "message_post_with_source",
    "send_mail",
    "send_mail_batch",
];

const ARGUMENT_WRITING: [&str; 14] = [
    "action_create_from_template",
    "action_get_share_url",
    "action_set_lost",
    "action_split",
    "activity_schedule",
    "attach_document",
    "create_driver_history",
    "create_opp_portal",
    "create_version",
    "do_replenish",
    "plan_task_in_calendar",
    "set_embedded_actions_setting",
    "update_contact_details_from_portal",
    "update_lead_portal",
];
