//! A gateway in the process of a benchmark.

use std::{net::SocketAddr, sync::Arc, thread};

use arc_swap::ArcSwap;
use gatepost::{
    config::{Sources, load},
    edge::Edge,
    telemetry::Telemetry,
};

/// Starts a gateway with this configuration; returns its first address.
pub(crate) fn start_gateway(sources: &Sources) -> SocketAddr {
    let checked = load(sources).unwrap();
    let gateway = Arc::new(ArcSwap::from_pointee(checked.build().unwrap()));
    let edge = Edge::open(
        &checked.config.server,
        &checked.config.admin,
        &gateway,
        &Arc::new(Telemetry::new()),
    )
    .unwrap();
    let address = edge.addresses()[0];
    thread::spawn(move || edge.run(None));
    address
}
