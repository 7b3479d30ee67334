//! Sockets: listeners, TLS, reading and writing, reload, shutdown.
