//! Certificates: which ones TLS clients trust, those of our own listeners, and why
//! a handshake failed.

mod handshake_failure;
mod server_certificate;
mod trusted_certificates;
mod validity;

pub use handshake_failure::{HandshakeFailure, PeerProtocol};
pub use server_certificate::{InvalidServerCertificate, ServerCertificate, ServerCertificateFiles};
pub use trusted_certificates::{TlsSetupError, client_config};
pub use validity::{CertificateProblem, CertificateValidity};
