//! Behaviour seen from outside: the program, and a gateway in process on port 0.

#[cfg(test)]
mod aggregates;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod check;
#[cfg(test)]
mod cli_commands;
#[cfg(test)]
mod client_arguments;
#[cfg(test)]
mod config_layers;
#[cfg(test)]
mod config_messages;
#[cfg(test)]
mod crate_graph;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod edge_serving;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod glossary;
#[cfg(test)]
mod idp;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod log;
#[cfg(test)]
mod odoo_calls;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod redis_server;
#[cfg(test)]
mod request_errors;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod state_store;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod test_gateway;
#[cfg(test)]
mod users;
#[cfg(test)]
mod writes;
