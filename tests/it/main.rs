//! Behaviour seen from outside: a gateway in process on port 0.

mod edge_serving;
