//! Identifiers that cross borders: instance, role, tool, subject, request.
