//! What can be said to Odoo and what it may answer. No I/O.
