//! The texts of errors that stop the edge.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::edge::{CannotListen, EdgeOpenError, stdio::StdioError};
use gatepost_base::InstanceName;
use gatepost_tls::InvalidServerCertificate;

#[test]
fn errors_of_sockets_and_certificates_name_the_setting() {
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    let mismatch = InvalidServerCertificate::KeyMismatch {
        certificate: PathBuf::from("/etc/gatepost/cert.pem"),
        key: PathBuf::from("/etc/gatepost/key.pem"),
    };
    let mut texts = vec![
        EdgeOpenError::from(mismatch).to_string(),
        EdgeOpenError::from(rustls::Error::EncryptError).to_string(),
    ];
    let reasons = [
        io::ErrorKind::AddrInUse,
        io::ErrorKind::AddrNotAvailable,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::OutOfMemory,
    ];
    texts.extend(reasons.map(|reason| {
        let error = CannotListen {
            setting: &["server", "listen"],
            address: SocketAddr::from(([127, 0, 0, 1], 443)),
            source: reason.into(),
        };
        format!("{error}\n    {}", error.remedy())
    }));
    let stdio = [
        StdioError::CannotRead(denied()),
        StdioError::CannotWrite(io::ErrorKind::BrokenPipe.into()),
        StdioError::UnknownInstance(InstanceName::try_from("production").unwrap()),
    ];
    texts.extend(stdio.map(|error| error.to_string()));
    insta::assert_snapshot!(texts.join("\n"));
}
