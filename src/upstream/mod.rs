//! How a permitted call reaches Odoo.
