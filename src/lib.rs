//! Gatepost: the gateway between AI assistants, which speak the Model Context
//! Protocol, and Odoo, which speaks JSON/2.
//!
//! The folders are in the order in which they may know each other: a module
//! imports only from modules above it. `tests/it/architecture.rs` holds that.

pub mod names;
pub mod odoo;
pub mod identity;
pub mod limits;
pub mod mcp;
pub mod policy;
pub mod shape;
pub mod audit;
pub mod telemetry;
pub mod upstream;
pub mod access;
pub mod tools;
pub mod gateway;
pub mod config;
pub mod edge;
pub mod demo;
