//! The models, one line per field.

use std::{collections::BTreeMap, sync::Arc};

use super::table::{Field, Group, OnDelete, Table};

/// `name kind[:relation, choices or decimals] flags Label`; a one2many has its
/// inverse after a slash.
///
/// Flags: `*` required, `~` computed and not stored, `=` stored but described as
/// read-only, `$` administrators only, `^` deleted with the record it points to,
/// `%` prevents the deletion of that record, `@` of the same company, `-` none.
const MODELS: &[(&str, &str, Group, &str, &str)] = &[
    ("res.partner", "Contact", Group::Internal, "complete_name, id desc", "
name char - Name
complete_name char = Complete Name
is_company boolean - Is a Company
parent_id many2one:res.partner - Related Company
child_ids one2many:res.partner/parent_id - Contact
email char - Email
phone char - Phone
street char - Street
zip char - Zip
city char - City
state_id many2one:res.country.state % State
country_id many2one:res.country % Country
vat char - Tax ID
ref char - Reference
website char - Website Link
function char - Job Position
lang selection:en_US=English,fr_FR=French - Language
category_id many2many:res.partner.category - Tags
user_id many2one:res.users - Salesperson
company_id many2one:res.company - Company
type selection:contact=Contact,invoice=Invoice,delivery=Delivery - Address Type
color integer - Color Index
comment html - Notes
image_128 binary - Image 128
customer_rank integer - Customer Rank
credit monetary ~$ Total Receivable
credit_limit float $ Credit Limit
email_normalized char = Normalized Email
sale_order_ids one2many:sale.order/partner_id - Sales Order
active boolean - Active
"),
    ("res.partner.category", "Partner Tags", Group::Internal, "name, id", "
name char * Name
color integer - Color
active boolean - Active
"),
    ("res.country", "Country", Group::Internal, "name, id", "
name char * Country Name
code char * Country Code
currency_id many2one:res.currency - Currency
"),
    ("res.country.state", "Country state", Group::Internal, "code, id", "
name char * State Name
code char * State Code
country_id many2one:res.country * Country
"),
    ("res.currency", "Currency", Group::Internal, "name, id", "
name char * Currency
symbol char * Symbol
active boolean - Active
"),
    ("res.company", "Companies", Group::Internal, "name, id", "
name char * Company Name
currency_id many2one:res.currency * Currency
partner_id many2one:res.partner * Partner
country_id many2one:res.country - Country
fiscalyear_last_month selection:12=December,6=June * Fiscalyear Last Month
"),
    ("res.lang", "Languages", Group::Internal, "name, id", "
name char * Name
code char * Locale Code
active boolean - Active
"),
    ("res.users", "User", Group::Internal, "name, id", "
name char * Name
login char * Login
partner_id many2one:res.partner * Related Partner
company_id many2one:res.company * Company
company_ids many2many:res.company - Companies
lang selection:en_US=English,fr_FR=French - Language
tz selection:Europe/Brussels=Europe/Brussels - Timezone
active boolean - Active
password char ~$ Password
"),
    ("crm.stage", "CRM Stages", Group::Sales, "sequence, id", "
name char * Stage Name
sequence integer - Sequence
is_won boolean - Is Won Stage?
"),
    ("crm.team", "Sales Team", Group::Sales, "name, id", "
name char * Sales Team
user_id many2one:res.users - Team Leader
active boolean - Active
"),
    ("crm.lead", "Lead", Group::Sales, "priority desc, id desc", "
name char * Opportunity
won_status selection:won=Won,lost=Lost,pending=Pending = Is Won
type selection:lead=Lead,opportunity=Opportunity * Type
stage_id many2one:crm.stage % Stage
partner_id many2one:res.partner @ Customer
contact_name char - Contact Name
email_from char - Email
phone char - Phone
city char - City
country_id many2one:res.country - Country
user_id many2one:res.users @ Salesperson
team_id many2one:crm.team @ Sales Team
expected_revenue monetary - Expected Revenue
probability float - Probability
priority selection:0=Low,1=Medium,2=High,3=Very High - Priority
date_closed datetime = Closed Date
date_deadline date - Expected Closing
description html - Notes
company_id many2one:res.company - Company
active boolean - Active
"),
    ("product.category", "Product Category", Group::Internal, "name, id", "
name char * Name
complete_name char = Complete Name
parent_id many2one:product.category ^ Parent Category
"),
    ("uom.uom", "Product Unit of Measure", Group::Internal, "name, id", "
name char * Unit Name
"),
    ("product.template", "Product", Group::Internal, "name, id", "
name char * Name
default_code char - Internal Reference
list_price float - Sales Price
standard_price float $ Cost
categ_id many2one:product.category % Product Category
uom_id many2one:uom.uom * Unit
type selection:consu=Goods,service=Service * Product Type
sale_ok boolean - Sales
description_sale text - Sales Description
image_1920 binary - Image
active boolean - Active
"),
    ("product.product", "Product Variant", Group::Internal, "default_code, name, id", "
name char * Name
product_tmpl_id many2one:product.template *^ Product Template
default_code char - Internal Reference
lst_price float - Sales Price
active boolean - Active
"),
    ("sale.order", "Sales Order", Group::Sales, "date_order desc, id desc", "
name char * Order Reference
state selection:draft=Quotation,sent=Quotation Sent,sale=Sales Order,cancel=Cancelled = Status
locked boolean - Locked
partner_id many2one:res.partner *@ Customer
date_order datetime * Order Date
validity_date date - Expiration
user_id many2one:res.users - Salesperson
team_id many2one:crm.team @ Sales Team
company_id many2one:res.company * Company
currency_id many2one:res.currency = Currency
amount_untaxed monetary = Untaxed Amount
amount_tax monetary = Taxes
amount_total monetary = Total
invoice_status selection:no=Nothing to Invoice,to_invoice=To Invoice,invoiced=Fully Invoiced = Invoice Status
client_order_ref char - Customer Reference
note html - Terms and conditions
order_line one2many:sale.order.line/order_id - Order Lines
invoice_ids many2many:account.move = Invoices
access_token char - Security Token
"),
    ("sale.order.line", "Sales Order Line", Group::Sales, "order_id, id", "
name text * Description
order_id many2one:sale.order *^ Order Reference
product_id many2one:product.product %@ Product
product_uom_qty float:2 * Quantity
price_unit float * Unit Price
discount float:2 - Discount (%)
price_subtotal monetary = Subtotal
price_tax float = Total Tax
price_total monetary = Total
currency_id many2one:res.currency = Currency
state selection:draft=Quotation,sent=Quotation Sent,sale=Sales Order,cancel=Cancelled = Order Status
company_id many2one:res.company = Company
"),
    ("account.journal", "Journal", Group::Admin, "name, id", "
name char * Journal Name
code char * Short Code
type selection:sale=Sales,purchase=Purchase,bank=Bank * Type
company_id many2one:res.company * Company
"),
    ("account.move", "Journal Entry", Group::Admin, "date desc, name desc, id desc", "
name char - Number
move_type selection:out_invoice=Customer Invoice,in_invoice=Vendor Bill,out_refund=Customer Credit Note,entry=Journal Entry *= Type
state selection:draft=Draft,posted=Posted,cancel=Cancelled *= Status
payment_state selection:not_paid=Not Paid,in_payment=In Payment,paid=Paid,partial=Partially Paid = Payment Status
partner_id many2one:res.partner %@ Partner
date date * Date
invoice_date date - Invoice Date
invoice_date_due date - Due Date
amount_untaxed monetary = Untaxed Amount
amount_total monetary = Total
amount_residual monetary = Amount Due
currency_id many2one:res.currency * Currency
journal_id many2one:account.journal * Journal
company_id many2one:res.company - Company
invoice_origin char - Origin
ref char - Reference
"),
    ("project.project", "Project", Group::Internal, "name, id", "
name char * Name
partner_id many2one:res.partner - Customer
user_id many2one:res.users - Project Manager
active boolean - Active
"),
    ("project.task", "Task", Group::Internal, "priority desc, id desc", "
name char * Title
project_id many2one:project.project - Project
state selection:01_in_progress=In Progress,1_done=Done,1_canceled=Cancelled * State
priority selection:0=Low,1=High - Priority
date_deadline datetime - Deadline
user_ids many2many:res.users - Assignees
active boolean - Active
"),
    ("hr.employee", "Employee", Group::Internal, "name, id", "
name char * Employee Name
job_title char - Job Title
work_email char - Work Email
work_phone char - Work Phone
parent_id many2one:hr.employee - Manager
company_id many2one:res.company * Company
private_phone char $ Private Phone
active boolean - Active
"),
    ("ir.attachment", "Attachment", Group::Internal, "id desc", "
name char * Name
mimetype char - Mime Type
file_size integer - File Size
res_model char - Resource Model
res_id many2one_reference - Resource ID
raw binary - File Content (raw)
"),
    ("mail.message", "Message", Group::Internal, "id desc", "
subject char - Subject
date datetime - Date
body html - Contents
message_type selection:email=Incoming Email,comment=Comment,notification=System notification,auto_comment=Automated Targeted Notification,user_notification=User Specific Notification * Type
subtype_id many2one:mail.message.subtype - Subtype
author_id many2one:res.partner - Author
email_from char - From
model char - Related Document Model
res_id many2one_reference - Related Document ID
record_name char - Message Record Name
partner_ids many2many:res.partner - Recipients
notified_partner_ids many2many:res.partner - Partners with Need Action
is_internal boolean - Employee Only
"),
    ("mail.message.subtype", "Message subtypes", Group::Internal, "id", "
name char * Message Type
internal boolean - Internal Only
default boolean - Default
"),
    ("mail.followers", "Document Followers", Group::Internal, "id", "
res_model char * Related Document Model Name
res_id many2one_reference - Related Document ID
partner_id many2one:res.partner *^ Related Partner
subtype_ids many2many:mail.message.subtype - Subtype
name char ~ Name
email char ~ Email
"),
    ("ir.model.data", "Model Data", Group::Admin, "module, model, name", "
module char * Module
name char * External Identifier
complete_name char = Complete ID
model char * Model Name
res_id many2one_reference - Record ID
noupdate boolean - Non Updatable
"),
    ("ir.model", "Models", Group::Admin, "model, id", "
name char * Model Description
model char * Model
"),
    ("ir.config_parameter", "System Parameter", Group::Admin, "key, id", "
key char * Key
value text * Value
"),
];

/// The fields of every thread model.
const THREAD_FIELDS: &str = "
message_ids one2many:mail.message/res_id - Messages
message_follower_ids one2many:mail.followers/res_id - Followers
message_partner_ids many2many:res.partner ~ Followers (Partners)
message_is_follower boolean ~ Is Follower
";

/// The thread models (`mail.thread`): their records have messages and followers.
const THREAD_MODELS: [&str; 10] = [
    "account.move",
    "crm.lead",
    "crm.team",
    "hr.employee",
    "product.product",
    "product.template",
    "project.project",
    "project.task",
    "res.partner",
    "sale.order",
];

/// Whether the records of a model have messages and followers.
pub(super) fn is_thread(model: &str) -> bool {
    THREAD_MODELS.contains(&model)
}

/// All models, without records.
pub(super) fn empty_tables() -> BTreeMap<&'static str, Table> {
    MODELS
        .iter()
        .map(|(model, label, open_to, order, lines)| {
            let thread = if is_thread(model) { THREAD_FIELDS } else { "" };
            let mut fields: BTreeMap<&str, Field> = lines
                .lines()
                .chain(thread.lines())
                .filter_map(parse_field)
                .collect();
            for (name, mut field) in [
                ("id", plain_field("integer", "ID")),
                ("display_name", plain_field("char", "Display Name")),
                ("create_date", plain_field("datetime", "Created on")),
                ("create_uid", plain_field("many2one", "Created by")),
                ("write_date", plain_field("datetime", "Last Updated on")),
                ("write_uid", plain_field("many2one", "Last Updated by")),
            ] {
                field.readonly = true;
                field.stored = name != "display_name";
                field.relation = name.ends_with("_uid").then_some("res.users");
                fields.insert(name, field);
            }
            if *model == "res.users"
                && let Some(name) = fields.get_mut("name")
            {
                name.related = Some("partner_id.name");
            }
            let table = Table {
                model,
                label,
                read_group: *open_to,
                fields: Arc::new(fields),
                rows: BTreeMap::new(),
                order,
                last_id: 0,
            };
            (*model, table)
        })
        .collect()
}

fn plain_field(kind: &'static str, label: &'static str) -> Field {
    Field {
        kind,
        label,
        relation: None,
        inverse: None,
        choices: Vec::new(),
        decimals: None,
        required: false,
        stored: true,
        readonly: false,
        check_company: false,
        on_delete: OnDelete::SetNull,
        related: None,
        group: None,
    }
}

fn parse_field(line: &'static str) -> Option<(&'static str, Field)> {
    let (name, rest) = line.split_once(' ')?;
    // Choices may contain spaces; the flags are one word without any.
    let (flags, kind, label) = rest.match_indices(' ').find_map(|(at, _)| {
        let (kind, after) = rest.split_at_checked(at)?;
        let (flags, label) = after.trim_start().split_once(' ')?;
        (flags.chars().all(|one| "*~=$^%@-".contains(one))).then_some((flags, kind, label))
    })?;
    let (kind, detail) = kind.split_once(':').unwrap_or((kind, ""));
    let has = |flag: char| flags.contains(flag);
    let mut field = plain_field(kind, label);
    field.required = has('*');
    field.stored = !has('~');
    field.readonly = has('~') || has('=');
    field.check_company = has('@');
    field.group = has('$').then_some(Group::Admin);
    field.on_delete = if has('^') {
        OnDelete::Cascade
    } else if has('%') || has('*') {
        OnDelete::Restrict
    } else {
        OnDelete::SetNull
    };
    if kind == "selection" {
        field.choices = detail
            .split(',')
            .filter_map(|choice| choice.split_once('='))
            .collect();
    } else if kind == "float" {
        field.decimals = detail.parse().ok();
    } else if !detail.is_empty() {
        let (relation, inverse) = detail
            .split_once('/')
            .map_or((detail, None), |(relation, inverse)| {
                (relation, Some(inverse))
            });
        field.relation = Some(relation);
        field.inverse = inverse;
    }
    Some((name, field))
}
