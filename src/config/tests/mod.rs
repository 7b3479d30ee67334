//! Tests of the shipped configurations and documents against the structs.

mod reference;
mod snippets;
