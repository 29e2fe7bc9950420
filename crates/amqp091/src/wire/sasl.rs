//! The two SASL responses that carry a name and a password: PLAIN (RFC 4616) and AMQPLAIN (AMQP 0-8's).

use thiserror::Error;

use leveret_message::table::{TableError, TableRef, ValueRef};

/// A malformed response for its mechanism (502 `SYNTAX_ERROR`). Never shows the input, which is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SaslError {
    /// PLAIN is not an identity, NUL, name, NUL, password.
    #[error("malformed PLAIN response")]
    Plain,
    /// PLAIN requests another user's identity.
    #[error("PLAIN response asks for another identity than the user's")]
    OtherIdentity,
    /// AMQPLAIN is not a table.
    #[error("malformed AMQPLAIN response: {0}")]
    Table(#[from] TableError),
    /// AMQPLAIN lacks `LOGIN` or `PASSWORD`, or they are not long strings.
    #[error("AMQPLAIN response lacks LOGIN or PASSWORD")]
    Incomplete,
    /// The name is not UTF-8.
    #[error("user name is not UTF-8")]
    NameNotUtf8,
}

/// A name and a password as sent. No `Debug`: it would print the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The password; any bytes.
    pub password: &'a [u8],
}

/// Parses a PLAIN response: `identity NUL user NUL password`, where the identity is empty or the user's.
pub fn plain(response: &[u8]) -> Result<Credentials<'_>, SaslError> {
    let mut parts = response.split(|octet| *octet == 0);
    let (Some(identity), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Plain);
    };
    if !identity.is_empty() && identity != user {
        return Err(SaslError::OtherIdentity);
    }
    credentials(user, password)
}

/// Parses an AMQPLAIN response: a table's contents, without length prefix.
pub fn amqplain(response: &[u8]) -> Result<Credentials<'_>, SaslError> {
    let table = TableRef::new(response)?;
    let field = |name| table.get(name).and_then(ValueRef::as_bytes);
    let (Some(user), Some(password)) = (field("LOGIN"), field("PASSWORD")) else {
        return Err(SaslError::Incomplete);
    };
    credentials(user, password)
}

fn credentials<'a>(user: &'a [u8], password: &'a [u8]) -> Result<Credentials<'a>, SaslError> {
    let user = std::str::from_utf8(user).map_err(|_| SaslError::NameNotUtf8)?;
    Ok(Credentials { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_message::table::edit::put_entry;
    use proptest::prelude::*;

    #[track_caller]
    fn check(found: Result<Credentials<'_>, SaslError>, want: Result<(&str, &[u8]), SaslError>) {
        assert_eq!(found.map(|found| (found.user, found.password)), want);
    }

    #[test]
    fn plain_takes_name_and_password() {
        check(plain(b"\0guest\0guest"), Ok(("guest", b"guest")));
        check(plain(b"guest\0guest\0p\xff"), Ok(("guest", b"p\xff")));
        check(plain(b"\0\0"), Ok(("", b"")));
        check(plain(b"root\0guest\0guest"), Err(SaslError::OtherIdentity));
        check(plain(b"guest\0guest"), Err(SaslError::Plain));
        check(plain(b"\0guest\0guest\0"), Err(SaslError::Plain));
        check(plain(b""), Err(SaslError::Plain));
        check(plain(b"\0\xff\0x"), Err(SaslError::NameNotUtf8));
    }

    #[test]
    fn amqplain_takes_name_and_password_in_any_order() {
        check(amqplain(b"\x05LOGINS\0\0\0\x01u\x08PASSWORDS\0\0\0\x01p"), Ok(("u", b"p")));
        check(amqplain(b"\x01xV\x08PASSWORDS\0\0\0\x01p\x05LOGINS\0\0\0\x01u"), Ok(("u", b"p")));
        check(amqplain(b"\x05LOGINS\0\0\0\x01u"), Err(SaslError::Incomplete));
        check(amqplain(b"\x05LOGINV\x08PASSWORDS\0\0\0\x01p"), Err(SaslError::Incomplete));
        check(amqplain(b"\x05LOGINS\0\0\0\x09u"), Err(SaslError::Table(TableError::Truncated)));
    }

    proptest! {
        #[test]
        fn credentials_read_back(user in "[^\0]{0,30}", password in prop::collection::vec(1u8.., 0..30)) {
            check(plain(&[b"\0", user.as_bytes(), b"\0", &password].concat()), Ok((&user, &password)));
            let mut table = Vec::new();
            put_entry(&mut table, b"LOGIN", ValueRef::LongString(user.as_bytes()));
            put_entry(&mut table, b"PASSWORD", ValueRef::LongString(&password));
            check(amqplain(&table), Ok((&user, &password)));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (plain(&bytes).is_ok(), amqplain(&bytes).is_ok());
        }
    }
}
