//! Whom this host trusts, in the configuration's three ways: the certificates of `ca_file`, the certificate that
//! `fingerprint` names in the chain that the server presents, or the system's certificates.
//!
//! Always true: the chain, its dates and the server's name are verified in all three, TLS 1.2 is the oldest version
//! spoken, and what was read from files is read once, because programs that sign one file live for a moment only.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

use crate::{Configuration, Error};

/// The settings of every connection of one configuration. Reads its files.
///
/// An error is [`Error::Misconfigured`] for a file that cannot be used and [`Error::Untrusted`] for one without the
/// certificate that the fingerprint names.
pub(crate) fn client_config(configuration: &Configuration) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(configuration, provider.clone())?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Misconfigured(error.to_string()))?
        .dangerous() // the word for a verifier of one's own; ours hands everything to webpki
        .with_custom_certificate_verifier(verifier);
    let mut config = match client_identity(configuration)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| Error::Misconfigured(format!("the client certificate and key: {error}")))?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What a failed handshake means, in words that help.
pub(crate) fn explain(error: &rustls::Error, host: &str) -> Error {
    let text = match error {
        rustls::Error::InvalidCertificate(reason) => certificate_problem(reason, host),
        rustls::Error::InvalidMessage(_) => return Error::Unreachable(format!("{host} does not speak TLS")),
        // In TLS 1.3 this comes with the first answer; an appliance knows the certificates that were registered only.
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => {
            format!("{host} does not take the certificate in client_cert: it is registered for nobody there")
        }
        rustls::Error::AlertReceived(alert) => format!("{host} refused the connection: {alert:?}"),
        other => format!("{host}: {other}"),
    };
    Error::Untrusted(text)
}

fn certificate_problem(reason: &CertificateError, host: &str) -> String {
    match reason {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("expected a certificate for {host}, but the one presented has no name in it")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
            format!("expected a certificate for {host}, but the one presented is for {}", names.join(", "))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired (or this host's clock is wrong)")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet (or this host's clock is wrong)")
        }
        CertificateError::UnknownIssuer => {
            format!("the certificate of {host} comes from a CA that is not trusted here; is ca_file the appliance's?")
        }
        CertificateError::Other(OtherError(inner)) => format!("{host}: {inner}"),
        other => format!("the certificate of {host}: {other}"),
    }
}

/// webpki shows a name as `DnsName("hsm.example")` or `IpAddress(127.0.0.1)`.
fn plain_name(shown: &str) -> &str {
    let inner = shown.split_once('(').map_or(shown, |(_, inner)| inner.strip_suffix(')').unwrap_or(inner));
    inner.trim_matches('"')
}

fn verifier(
    configuration: &Configuration,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    match (&configuration.ca_file, configuration.fingerprint) {
        (Some(path), fingerprint) => {
            let roots = roots_of_file(path, fingerprint)?;
            Ok(webpki(roots, provider)
                .map_err(|reason| Error::Misconfigured(format!("{}: {reason}", path.display())))?)
        }
        (None, Some(fingerprint)) => Ok(Arc::new(Pinned { fingerprint, provider })),
        (None, None) => Ok(webpki(system_roots(), provider).map_err(Error::Misconfigured)?),
    }
}

fn webpki(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    builder.build().map_err(|_| "no certificate to trust was found".to_owned())
}

/// The certificates of a PEM file; with a fingerprint, the one that it names.
fn roots_of_file(path: &Path, fingerprint: Option<[u8; 32]>) -> Result<RootCertStore, Error> {
    let failed = |reason: String| Error::Misconfigured(format!("{}: {reason}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        if fingerprint.is_none_or(|wanted| sha256(&certificate) == wanted) {
            roots
                .add(certificate)
                .map_err(|error| failed(format!("holds a certificate that cannot be used: {error}")))?;
        }
    }
    match fingerprint {
        Some(wanted) if roots.is_empty() => {
            Err(Error::Untrusted(format!("no certificate in {} has the {}", path.display(), shown(&wanted))))
        }
        _ => Ok(roots),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => {
            Err(Error::Misconfigured(format!("{}: holds no PEM certificate", path.display())))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(Error::Misconfigured(format!("{}: cannot be read: {error}", path.display()))),
    }
}

/// The system's certificates. Those that webpki cannot use are left out, as every TLS library does.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// This host's own certificate and key. The error of a key names no content.
fn client_identity(configuration: &Configuration) -> Result<Option<Identity>, Error> {
    let Some(path) = &configuration.client_cert else { return Ok(None) };
    // Both may stand in one file.
    let key_path = configuration.client_key.as_ref().unwrap_or(path);
    let key = PrivateKeyDer::from_pem_file(key_path)
        .map_err(|_| Error::Misconfigured(format!("{}: holds no private key that can be read", key_path.display())))?;
    Ok(Some((certificates(path)?, key)))
}

fn sha256(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn shown(fingerprint: &[u8; 32]) -> String {
    let digits: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("fingerprint sha256:{digits}")
}

/// Trusts the certificate with one fingerprint, wherever it stands in the presented chain, as the root for that chain.
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(&self.fingerprint))
    }
}

impl Pinned {
    /// The presented certificate that the fingerprint names, as the only root.
    fn root(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<RootCertStore, rustls::Error> {
        let mut presented = std::iter::once(leaf).chain(others);
        let pinned = presented.find(|one| sha256(one) == self.fingerprint).ok_or_else(|| self.refusal("no"))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        Ok(roots)
    }

    fn refusal(&self, which: &str) -> rustls::Error {
        let text = format!("{which} certificate that it presents has the {}", shown(&self.fingerprint));
        CertificateError::Other(OtherError(Arc::new(Refusal(text)))).into()
    }
}

#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = self.root(leaf, others)?;
        let verifier = webpki(roots, self.provider.clone()).map_err(rustls::Error::General)?;
        verifier.verify_server_cert(leaf, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
