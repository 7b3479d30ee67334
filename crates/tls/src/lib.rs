//! Which servers are believed to be who they say: TLS towards Odoo and towards
//! identity providers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file of certificates is not one. For the administrator.
    #[error("`ca_file`: {0}: {1}")]
    InvalidCertificates(PathBuf, String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What a TLS client of ours believes: the certificates in this PEM file, or
/// the system's where none is named. TLS 1.2 and 1.3.
///
/// # Errors
/// [`Untrusted`].
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let broken = |error: String| TlsSetupError::InvalidCertificates(file.to_owned(), error);
            let certificates =
                CertificateDer::pem_file_iter(file).map_err(|error| broken(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| broken(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| broken(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(broken("there is no certificate in it".to_owned()));
            }
        }
        None => {
            // Those of the system that cannot be read are of no use to anybody.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
