//! Which certificates TLS clients trust, towards Odoo, providers and Redis.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};

/// TLS could not be set up. The text is for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file has no usable certificates.
    #[error("{0} cannot be used as trusted certificates: {1}")]
    InvalidCertificates(PathBuf, String),
    /// The TLS library rejected the settings.
    #[error("TLS could not be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The configuration of a TLS client that trusts the certificates in this PEM
/// file, or the system's without one. TLS 1.2 and 1.3.
///
/// # Errors
/// [`TlsSetupError`].
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let invalid = |error: &dyn fmt::Display| {
                TlsSetupError::InvalidCertificates(file.to_owned(), error.to_string())
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(|e| invalid(&e))? {
                let certificate = certificate.map_err(|e| invalid(&e))?;
                roots.add(certificate).map_err(|e| invalid(&e))?;
            }
            if roots.is_empty() {
                return Err(invalid(&"it contains no certificate"));
            }
        }
        None => {
            // Unreadable certificates of the system are skipped.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::TlsSetupError;

    #[test]
    fn setup_errors_name_the_file() {
        let errors = [
            TlsSetupError::InvalidCertificates(
                "/etc/gatepost/ca.pem".into(),
                "it contains no certificate".to_owned(),
            ),
            TlsSetupError::Rustls(rustls::Error::NoApplicationProtocol),
        ];
        let texts = errors.map(|error| error.to_string());
        assert_eq!(
            texts,
            [
                "/etc/gatepost/ca.pem cannot be used as trusted certificates: it contains no certificate",
                "TLS could not be set up: peer doesn't support any known protocol",
            ]
        );
    }
}
