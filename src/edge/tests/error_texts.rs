//! The texts of errors that stop the edge.

use std::{io, net::SocketAddr, path::PathBuf};

use rustls::pki_types::pem;

use crate::edge::{BadCertificate, EdgeOpenError, stdio::StdioError};
use gatepost_base::InstanceName;

#[test]
fn errors_of_sockets_and_certificates_name_the_setting() {
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    let certificate = [
        BadCertificate::CannotRead {
            setting: "server.tls.key_file",
            path: PathBuf::from("/etc/gatepost/key.pem"),
            source: denied(),
        },
        BadCertificate::NotPem {
            setting: "server.tls.cert_file",
            path: PathBuf::from("/etc/gatepost/cert.pem"),
            expected: "a certificate chain",
            source: pem::Error::NoItemsFound,
        },
        BadCertificate::UnusablePair(rustls::Error::EncryptError),
        BadCertificate::TlsSetup(rustls::Error::EncryptError),
    ];
    let mut texts = certificate
        .map(|error| EdgeOpenError::from(error).to_string())
        .to_vec();
    let listen = EdgeOpenError::Listen {
        setting: "server.listen",
        address: SocketAddr::from(([127, 0, 0, 1], 8080)),
        source: io::ErrorKind::AddrInUse.into(),
    };
    texts.push(listen.to_string());
    let stdio = [
        StdioError::CannotRead(denied()),
        StdioError::CannotWrite(io::ErrorKind::BrokenPipe.into()),
        StdioError::UnknownInstance(InstanceName::try_from("production").unwrap()),
    ];
    texts.extend(stdio.map(|error| error.to_string()));
    insta::assert_snapshot!(texts.join("\n"));
}
