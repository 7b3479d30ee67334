//! The sample company: a small Odoo stand-in speaking JSON/2 over HTTP.
