//! Times in Odoo's form.

use jiff::Timestamp;

/// A time in Odoo's form, `2026-01-31 13:45:00`.
pub fn odoo_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
