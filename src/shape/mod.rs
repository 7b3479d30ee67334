//! What is handed back to a language model: tables, pages, budgets.
