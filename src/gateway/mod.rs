//! The way of one request, from its head to its answer.
