//! The records of the sample company. Only the dates depend on the day.

use jiff::{ToSpan, civil::Date};
use serde_json::{Value, json};

use super::{
    computed,
    database::Database,
    defaults::empty_row,
    models,
    table::{Row, link, text},
    value::ids,
};

/// Countries: id, name, code, currency.
const COUNTRIES: [(u32, &str, &str, u32); 8] = [
    (20, "Belgium", "BE", 2),
    (75, "France", "FR", 2),
    (57, "Germany", "DE", 2),
    (109, "Italy", "IT", 2),
    (113, "Japan", "JP", 3),
    (165, "Netherlands", "NL", 2),
    (231, "United Kingdom", "GB", 4),
    (233, "United States", "US", 1),
];

/// Customers: name, city, index of the country.
const CUSTOMERS: [(&str, &str, usize); 20] = [
    ("Azure Interior", "Fremont", 7),
    ("Deco Addict", "Pleasant Hill", 7),
    ("Gemini Furniture", "Fairfield", 7),
    ("Ready Mat", "Tracy", 7),
    ("The Jackson Group", "Stockton", 7),
    ("Lumber Inc", "Stockton", 7),
    ("Brasserie Léopold", "Liège", 0),
    ("Gent Meubelmakers", "Gent", 0),
    ("Café Müller & Söhne", "Köln", 2),
    ("Ateliers Éloïse", "Lyon", 1),
    ("Boulangerie du Marché", "Paris", 1),
    ("Officina Bianchi", "Torino", 3),
    ("さくら家具", "Kyoto", 4),
    ("Van der Berg Logistics", "Rotterdam", 5),
    ("Camden Kitchens", "London", 6),
    ("Thames Joinery", "London", 6),
    ("Nordlicht Design", "Hamburg", 2),
    ("Piet | Partners\nid | 1 | paid", "Utrecht", 5),
    ("Hôtel Bellevue", "Nice", 1),
    ("Ostend Harbour Works", "Oostende", 0),
];

const PEOPLE: [&str; 12] = [
    "Brandon Freeman",
    "Nicole Ford",
    "Colleen Diaz",
    "Léa Dubois",
    "Jan Peeters",
    "Anna Schmidt",
    "Giulia Rossi",
    "田中 花子",
    "Oliver Smith",
    "Sofie Janssens",
    "Marc Lambert",
    "Emma de Vries",
];

/// Products: code, name, price, category.
const PRODUCTS: [(&str, &str, f64, u32); 16] = [
    ("DESK-001", "Customizable Desk", 750.0, 2),
    ("DESK-002", "Four Person Desk", 2350.0, 2),
    ("DESK-003", "Large Desk", 1799.0, 2),
    ("CHAIR-01", "Office Chair", 120.5, 2),
    ("CHAIR-02", "Conference Chair", 33.0, 2),
    ("LAMP-001", "Office Lamp", 40.0, 2),
    ("DRAW-001", "Drawer Black", 25.0, 2),
    ("CABI-001", "Cabinet with Doors", 140.0, 2),
    ("SCRN-001", "Acoustic Bloc Screens", 295.0, 2),
    ("FLIP-001", "Flipover", 1950.0, 2),
    ("TABLE-01", "Meeting Table", 4000.0, 2),
    ("STOR-001", "Large Cabinet", 320.0, 2),
    ("SERV-001", "Furniture Assembly", 75.0, 3),
    ("SERV-002", "Interior Design Day", 980.0, 3),
    ("SERV-003", "Delivery", 59.9, 3),
    ("DESK-OLD", "Desk Combination (old)", 450.0, 2),
];

/// All models with their records.
pub(super) fn sample_database(today: Date) -> Database {
    let mut builder = SampleDataBuilder {
        database: Database {
            tables: models::empty_tables(),
            last_order_number: 0,
        },
        today,
    };
    builder.add_base_data();
    builder.add_partners();
    builder.add_products();
    builder.add_leads();
    builder.add_orders();
    builder.add_invoices();
    builder.add_other_records();
    builder.add_followers();
    builder.database
}

/// The salesperson of a document: they take turns.
fn salesperson(id: u32) -> u32 {
    match id % 3 {
        0 => 2,
        1 => 5,
        _ => 6,
    }
}

struct SampleDataBuilder {
    database: Database,
    today: Date,
}

impl SampleDataBuilder {
    /// Adds a record. Fields without a value are empty, and `active` is true.
    fn add(&mut self, model: &str, id: u32, values: Value) {
        let created = format!("{} 08:00:00", self.date_from_today(-400));
        let Some(table) = self.database.tables.get_mut(model) else {
            return;
        };
        let mut row = empty_row(table);
        if let Some(active) = row.get_mut("active") {
            *active = true.into();
        }
        if let Value::Object(values) = values {
            row.extend(values);
        }
        table.insert_with_id(id, row, 2, &created);
    }

    /// The day this many days from today.
    fn date_from_today(&self, days: i32) -> String {
        self.today
            .checked_add(days.days())
            .unwrap_or(self.today)
            .to_string()
    }

    fn add_base_data(&mut self) {
        for (id, name, symbol) in [
            (1, "USD", "$"),
            (2, "EUR", "€"),
            (3, "JPY", "¥"),
            (4, "GBP", "£"),
        ] {
            self.add("res.currency", id, json!({"name": name, "symbol": symbol}));
        }
        for (id, name, code, currency) in COUNTRIES {
            self.add(
                "res.country",
                id,
                json!({"name": name, "code": code, "currency_id": currency}),
            );
        }
        for (id, name, code, country) in [
            (1, "California", "CA", 233),
            (2, "Illinois", "IL", 233),
            (3, "Hamburg", "HH", 57),
        ] {
            self.add(
                "res.country.state",
                id,
                json!({"name": name, "code": code, "country_id": country}),
            );
        }
        for (id, name, internal) in [(1, "Discussions", false), (2, "Note", true)] {
            self.add(
                "mail.message.subtype",
                id,
                json!({"name": name, "internal": internal, "default": !internal}),
            );
        }
        for (id, name, code) in [
            (1, "English (US)", "en_US"),
            (2, "French / Français", "fr_FR"),
        ] {
            self.add("res.lang", id, json!({"name": name, "code": code}));
        }
        let companies = [
            (1, "Example Furniture (Brussels)", 2, 20),
            (2, "Example Furniture (Chicago)", 1, 233),
        ];
        for (id, name, currency, country) in companies {
            self.add("res.company", id, json!({"name": name, "currency_id": currency, "partner_id": id, "country_id": country, "fiscalyear_last_month": "12"}));
            self.add("res.partner", id, json!({"name": name, "complete_name": name, "is_company": true, "email": format!("info{id}@example.com"), "country_id": country, "type": "contact"}));
        }
        for (id, name, login, companies) in [
            (2, "Mitchell Admin", "admin", vec![1, 2]),
            (5, "Marc Demo", "demo", vec![1, 2]),
            (6, "Sally Sales", "sally", vec![1]),
            (7, "Ivan Internal", "ivan", vec![1]),
        ] {
            self.add("res.partner", id + 1, json!({"name": name, "complete_name": name, "email": format!("{login}@example.com"), "function": "Employee", "type": "contact", "company_id": 1}));
            self.add("res.users", id, json!({"name": name, "login": login, "partner_id": id + 1, "company_id": 1, "company_ids": companies, "lang": "en_US", "tz": "Europe/Brussels"}));
        }
        for (id, name) in [(1, "VIP"), (2, "Hospitality"), (3, "Late payer")] {
            self.add(
                "res.partner.category",
                id,
                json!({"name": name, "color": id}),
            );
        }
    }

    fn add_partners(&mut self) {
        for (at, (name, city, country)) in (0_u32..).zip(CUSTOMERS) {
            let id = 14 + at;
            let (country, phone) = COUNTRIES
                .get(country)
                .map_or((233, "+1"), |(id, _, _, _)| (*id, "+32"));
            let word: String = name
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(8)
                .collect();
            self.add("res.partner", id, json!({
                "name": name, "complete_name": name, "is_company": true, "city": city, "country_id": country,
                "email": format!("info@{}{id}.example.com", word.to_lowercase()), "email_normalized": format!("info@{}{id}.example.com", word.to_lowercase()),
                "phone": format!("{phone} 555 01{id}"), "street": format!("Main Street {id}"), "zip": format!("{}", 1000 + id),
                "customer_rank": 1 + at % 4, "type": "contact", "user_id": if at % 3 == 0 { 6 } else { 5 },
                "category_id": [1 + at % 3], "credit_limit": 10000.0, "credit": f64::from(at) * 125.5,
                "comment": format!("<p>Customer since {}.</p><p>Prefers <b>delivery</b> before noon.</p>", 2010 + at % 12),
                "image_128": "iVBORw0KGgo=", "active": at != 15,
                "create_date": format!("{} 08:00:00", self.date_from_today(-400)), "write_date": format!("{} 09:30:00", self.date_from_today(-3)),
            }));
        }
        for (at, name) in (0_u32..).zip(PEOPLE) {
            let parent = 14 + at;
            let company = CUSTOMERS
                .get(usize::try_from(at).unwrap_or(0))
                .map_or("", |(name, _, _)| *name);
            self.add("res.partner", 40 + at, json!({
                "name": name, "complete_name": format!("{company}, {name}"), "parent_id": parent, "function": "Buyer",
                "email": format!("contact{}@example.com", 40 + at), "phone": format!("+1 555 02{}", 40 + at), "type": "contact",
            }));
        }
    }

    fn add_products(&mut self) {
        for (id, name) in [(1, "All"), (2, "Furniture"), (3, "Services")] {
            self.add(
                "product.category",
                id,
                json!({"name": name, "complete_name": if id == 1 { name.to_owned() } else { format!("All / {name}") }, "parent_id": if id == 1 { json!(false) } else { json!(1) }}),
            );
        }
        for (id, name) in [(1, "Units"), (2, "Hours")] {
            self.add("uom.uom", id, json!({"name": name}));
        }
        for (at, (code, name, price, category)) in (1_u32..).zip(PRODUCTS) {
            let active = code != "DESK-OLD";
            self.add("product.template", at, json!({
                "name": name, "default_code": code, "list_price": price, "standard_price": price * 0.6, "categ_id": category,
                "uom_id": if category == 3 { 2 } else { 1 }, "type": if category == 3 { "service" } else { "consu" }, "sale_ok": true, "active": active,
            }));
            self.add("product.product", at, json!({"name": name, "default_code": code, "product_tmpl_id": at, "lst_price": price, "active": active}));
        }
    }

    fn add_leads(&mut self) {
        for (id, name) in [(1, "New"), (2, "Qualified"), (3, "Proposition"), (4, "Won")] {
            self.add(
                "crm.stage",
                id,
                json!({"name": name, "sequence": id, "is_won": id == 4}),
            );
        }
        for (id, name) in [(1, "Sales"), (2, "Website")] {
            self.add("crm.team", id, json!({"name": name, "user_id": 2}));
        }
        for id in 1..=36_u32 {
            let customer = 14 + id % 20;
            let (name, city, country) = CUSTOMERS
                .get(usize::try_from(id % 20).unwrap_or(0))
                .copied()
                .unwrap_or(("", "", 0));
            let country = COUNTRIES.get(country).map_or(233, |(id, _, _, _)| *id);
            self.add("crm.lead", id, json!({
                "name": format!("Office furniture for {}", name.lines().next().unwrap_or_default()), "type": if id % 5 == 0 { "lead" } else { "opportunity" },
                "stage_id": 1 + id % 4, "partner_id": customer, "city": city, "country_id": country,
                "email_from": format!("lead{id}@example.com"), "phone": format!("+32 555 03{id:02}"),
                "user_id": salesperson(id), "team_id": 1 + id % 2,
                "expected_revenue": f64::from(id) * 850.0, "probability": f64::from(25 * (1 + id % 4)), "priority": (id % 4).to_string(),
                "date_deadline": self.date_from_today(i32::try_from(id).unwrap_or(0) * 3 - 40), "company_id": 1, "active": id % 12 != 0,
                "won_status": if id % 4 == 3 { "won" } else { "pending" },
                "create_date": format!("{} 10:00:00", self.date_from_today(-60)),
            }));
        }
    }

    fn add_orders(&mut self) {
        let mut line = 1;
        for id in 1..=40_u32 {
            let company = 1 + u32::from(id % 5 == 0);
            let currency = if company == 1 { 2 } else { 1 };
            for step in 0..=(id % 3) {
                let product = 1 + (id + step * 5) % 15;
                let (_, name, price, _) = PRODUCTS
                    .get(usize::try_from(product - 1).unwrap_or(0))
                    .copied()
                    .unwrap_or(("", "", 0.0, 2));
                let quantity = f64::from(1 + (id + step) % 4);
                self.add("sale.order.line", line, json!({
                    "name": name, "order_id": id, "product_id": product, "product_uom_qty": quantity,
                    "price_unit": price,
                }));
                line += 1;
            }
            let state = match id % 5 {
                0 => "draft",
                1 => "sent",
                4 => "cancel",
                _ => "sale",
            };
            let state = if company == 2 { "sale" } else { state };
            let days = -i32::try_from(id).unwrap_or(0) * 4;
            self.add("sale.order", id, json!({
                "name": format!("S{id:05}"), "state": state, "partner_id": 14 + id % 20,
                "date_order": format!("{} 09:15:00", self.date_from_today(days)), "validity_date": self.date_from_today(days + 30),
                "user_id": salesperson(id), "team_id": 1, "company_id": company, "currency_id": currency,
                "invoice_status": if state == "sale" { "to_invoice" } else { "no" }, "access_token": "f3c1a2d4-secret",
            }));
            computed::recompute_order(&mut self.database, id);
            self.database.last_order_number = id;
        }
    }

    fn add_invoices(&mut self) {
        for (id, name, code, company) in [
            (1, "Customer Invoices", "INV", 1),
            (2, "Customer Invoices", "INV", 2),
        ] {
            self.add(
                "account.journal",
                id,
                json!({"name": name, "code": code, "type": "sale", "company_id": company}),
            );
        }
        for id in 1..=40_u32 {
            let company = 1 + u32::from(id % 5 == 0);
            let total = f64::from(id) * 137.25;
            let (state, payment) = match id % 4 {
                0 => ("posted", "paid"),
                1 => ("posted", "partial"),
                _ if id % 10 == 2 => ("draft", "not_paid"),
                _ => ("posted", "not_paid"),
            };
            let residual = match payment {
                "paid" => 0.0,
                "partial" => total / 2.0,
                _ => total,
            };
            let days = -i32::try_from(id).unwrap_or(0) * 3;
            self.add("account.move", id, json!({
                "name": if state == "draft" { json!(false) } else { json!(format!("INV/{}/{id:05}", self.today.year())) },
                "move_type": if id % 9 == 0 { "out_refund" } else { "out_invoice" }, "state": state, "payment_state": payment,
                "partner_id": 14 + id % 20, "date": self.date_from_today(days), "invoice_date": self.date_from_today(days), "invoice_date_due": self.date_from_today(days + 30),
                "amount_untaxed": total / 1.21, "amount_total": total, "amount_residual": residual,
                "currency_id": if company == 1 { 2 } else { 1 }, "journal_id": company, "company_id": company, "invoice_origin": format!("S{id:05}"),
            }));
        }
    }

    fn add_other_records(&mut self) {
        self.add(
            "project.project",
            1,
            json!({"name": "Office Relocation", "partner_id": 14, "user_id": 2}),
        );
        for (id, name) in [
            (1, "Measure the rooms"),
            (2, "Order desks"),
            (3, "Assemble"),
        ] {
            self.add("project.task", id, json!({"name": name, "project_id": 1, "state": "01_in_progress", "priority": "0", "user_ids": [2], "date_deadline": format!("{} 16:00:00", self.date_from_today(10))}));
        }
        for (id, name, title) in [
            (1, "Mitchell Admin", "Chief Executive Officer"),
            (2, "Marc Demo", "Experienced Developer"),
            (3, "Sally Sales", "Account Manager"),
        ] {
            self.add("hr.employee", id, json!({"name": name, "job_title": title, "work_email": format!("employee{id}@example.com"), "parent_id": if id == 1 { json!(false) } else { json!(1) }, "company_id": 1, "private_phone": "+32 470 000000"}));
        }
        self.add("ir.attachment", 1, json!({"name": "terms.pdf", "mimetype": "application/pdf", "file_size": 1468, "res_model": "sale.order", "res_id": 1, "raw": "%PDF"}));
        self.add(
            "ir.config_parameter",
            1,
            json!({"key": "database.secret", "value": "do-not-tell"}),
        );
        let models: Vec<(&str, &str)> = self
            .database
            .tables
            .values()
            .map(|table| (table.model, table.label))
            .collect();
        for (id, (model, label)) in (1..).zip(models) {
            self.add("ir.model", id, json!({"name": label, "model": model}));
        }
    }

    /// Salespeople follow their documents, customers their orders.
    fn add_followers(&mut self) {
        let mut id = 1;
        for model in ["crm.lead", "sale.order"] {
            let rows: Vec<(u32, Value)> =
                self.database.table(model).map_or_else(Vec::new, |table| {
                    let followed = |row: &Row| {
                        let seller = link(row, "user_id").map(|user| user + 1);
                        let ordered = text(row, "state") == "sale";
                        let customer = link(row, "partner_id").filter(|_| ordered);
                        [seller, customer].into_iter().flatten().collect()
                    };
                    table
                        .rows
                        .iter()
                        .map(|(id, row)| (*id, followed(row)))
                        .collect()
                });
            for (record, partners) in rows {
                for partner in ids(&partners) {
                    self.add("mail.followers", id, json!({"res_model": model, "res_id": record, "partner_id": partner, "subtype_ids": [1]}));
                    id += 1;
                }
            }
        }
    }
}
