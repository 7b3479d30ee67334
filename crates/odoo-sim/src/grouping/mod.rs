//! Groups of records (`formatted_read_group` of Odoo 19, in the module `web`).

mod aggregate;
mod period;
mod read_group;
mod spec;
