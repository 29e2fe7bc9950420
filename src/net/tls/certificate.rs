//! Facts in a certificate: subject, issuer, expiry, and the user who logs in with it.

use leveret_message::Millis;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use leveret_broker::registry::PeerCertificate;

/// Location of the user name in a client's certificate (`RabbitMQ`'s `ssl_cert_login_from`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginFrom {
    /// The whole subject as RFC 2253 writes it: `CN=client,O=example`.
    #[default]
    DistinguishedName,
    /// The subject's common name.
    CommonName,
    /// The first subject alternative name of a kind.
    AlternativeName(NameKind),
}

/// A kind of subject alternative name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub enum NameKind {
    Dns,
    Email,
    Ip,
    Uri,
}

impl LoginFrom {
    /// From the configuration: `distinguished_name`, `common_name`, or `san_` and a kind.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "distinguished_name" => Self::DistinguishedName,
            "common_name" => Self::CommonName,
            "san_dns" => Self::AlternativeName(NameKind::Dns),
            "san_email" => Self::AlternativeName(NameKind::Email),
            "san_ip" => Self::AlternativeName(NameKind::Ip),
            "san_uri" => Self::AlternativeName(NameKind::Uri),
            _ => return None,
        })
    }
}

/// Parses a verified client certificate. `None`: unreadable, which a verified one never is.
pub(super) fn read(der: &[u8], login_from: LoginFrom) -> Option<PeerCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(PeerCertificate {
        subject: distinguished_name(certificate.subject()),
        issuer: distinguished_name(certificate.issuer()),
        validity: format!("{} - {}", time(&validity.not_before), time(&validity.not_after)),
        user: user(&certificate, login_from),
    })
}

fn time(at: &ASN1Time) -> String {
    let at = at.to_datetime();
    let ((year, month, day), (hour, minute, second)) = (at.to_calendar_date(), at.to_hms());
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// Expiry of a certificate.
pub(super) fn expires(der: &[u8]) -> Option<Millis> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    Some(Millis(seconds.saturating_mul(1000)))
}

fn user(certificate: &X509Certificate<'_>, from: LoginFrom) -> Option<String> {
    let user = match from {
        LoginFrom::DistinguishedName => distinguished_name(certificate.subject()),
        LoginFrom::CommonName => {
            let mut names = certificate.subject().iter_common_name();
            names.next()?.as_str().ok()?.to_owned()
        }
        LoginFrom::AlternativeName(kind) => {
            let names = certificate.subject_alternative_name().ok()??;
            names.value.general_names.iter().find_map(|name| alternative_name(name, kind))?
        }
    };
    (!user.is_empty()).then_some(user)
}

fn alternative_name(name: &GeneralName<'_>, kind: NameKind) -> Option<String> {
    match (kind, name) {
        (NameKind::Dns, GeneralName::DNSName(name))
        | (NameKind::Email, GeneralName::RFC822Name(name))
        | (NameKind::Uri, GeneralName::URI(name)) => Some((*name).to_owned()),
        (NameKind::Ip, GeneralName::IPAddress(octets)) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|ip| std::net::IpAddr::from(ip).to_string()),
            16 => <[u8; 16]>::try_from(*octets).ok().map(|ip| std::net::IpAddr::from(ip).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// A name as RFC 2253 writes it: the last part first, separated by commas.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
    format!("{kind}={}", escaped(attribute.as_str().unwrap_or_default()))
}

/// RFC 2253, 2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, letter) in value.chars().enumerate() {
        let at_an_end = (letter == ' ' && (index == 0 || index == last)) || (letter == '#' && index == 0);
        if at_an_end || ",+\"\\<>;".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["orders.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Hares, Ltd");
        params.distinguished_name.push(DnType::CommonName, "orders");
        params.subject_alt_names.push(SanType::Rfc822Name("orders@example".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 7].into()));
        params.subject_alt_names.push(SanType::URI("spiffe://example/orders".try_into().unwrap()));
        params.not_after = date_time_ymd(2030, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_user_is_read_from_where_it_is_configured() {
        let der = certificate();
        for (from, want) in [
            ("distinguished_name", "CN=orders,O=Hares\\, Ltd"),
            ("common_name", "orders"),
            ("san_dns", "orders.example"),
            ("san_email", "orders@example"),
            ("san_ip", "10.0.0.7"),
            ("san_uri", "spiffe://example/orders"),
        ] {
            let read = read(&der, LoginFrom::parse(from).unwrap()).unwrap();
            assert_eq!(read.user.as_deref(), Some(want), "{from}");
            assert_eq!(read.subject, "CN=orders,O=Hares\\, Ltd");
        }
        assert_eq!(LoginFrom::parse("san_other"), None);
    }

    #[test]
    fn a_certificate_without_that_name_names_nobody() {
        let params = CertificateParams::new(Vec::new()).unwrap();
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let from = LoginFrom::AlternativeName(NameKind::Dns);
        assert_eq!(read(der.der(), from).unwrap().user, None);
    }

    #[test]
    fn the_end_is_in_milliseconds() {
        assert_eq!(expires(&certificate()), Some(Millis(1_893_456_000_000)));
        assert_eq!(expires(b"nothing"), None);
    }

    #[test]
    fn names_are_escaped_as_rfc_2253_has_it() {
        for (plain, want) in [("a,b", "a\\,b"), (" a ", "\\ a\\ "), ("#a#", "\\#a#"), ("a b", "a b")] {
            assert_eq!(escaped(plain), want);
        }
    }
}
