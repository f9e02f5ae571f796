//! The TLS listener's certificate and key.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsListener;
use crate::server::ServeError;

/// Reads the PEM files. Clients are not asked for certificates: statements prove who made them.
pub(crate) fn acceptor(listener: &TlsListener) -> Result<TlsAcceptor, ServeError> {
    let certificate_error = |source| ServeError::Certificate { path: listener.certificate.clone(), source };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&listener.certificate)
        .and_then(Iterator::collect)
        .map_err(certificate_error)?;
    if chain.is_empty() {
        return Err(certificate_error(rustls_pki_types::pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&listener.key)
        .map_err(|source| ServeError::Key { path: listener.key.clone(), source })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
