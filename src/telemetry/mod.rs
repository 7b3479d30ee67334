//! Metrics, logging, traces.
