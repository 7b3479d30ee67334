//! Gatepost: the gateway between AI assistants, which speak the Model Context
//! Protocol, and Odoo, which speaks JSON/2.
//!
//! The folders are in the order in which they may know each other: a module
//! imports only from modules above it. `tests/it/architecture.rs` holds that.

pub mod access;
pub mod audit;
pub mod cli;
pub mod config;
pub mod diagnostics;
pub mod edge;
pub mod elicitation;
pub mod gateway;
pub mod render;
pub mod telemetry;
pub mod tools;
pub mod validation;
pub mod writes;
