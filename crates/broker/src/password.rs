//! Password hashes: argon2id for passwords set here, `RabbitMQ`'s salted hashes for imported ones:
//! `base64(salt ++ hash(salt ++ password))` with a four-byte salt.

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};

const SHA256: &str = "rabbit_password_hashing_sha256";
const SHA512: &str = "rabbit_password_hashing_sha512";
const ARGON2: &str = "leveret_argon2id";
const SALT_BYTES: usize = 4;

/// Maximum memory for checking an imported hash, in KiB: 64 MiB, three times that of our own hashes.
const KIB_MAX: u32 = 65_536;

/// Maximum passes over that memory.
const PASSES_MAX: u32 = 10;

/// Maximum lanes.
const LANES_MAX: u32 = 16;

/// Hashes a password for storage.
///
/// # Errors
/// The operating system provides no randomness.
pub fn hash_password(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    Ok(argon2::Argon2::default().hash_password(password)?.to_string())
}

/// A hash in `RabbitMQ`'s format (SHA-256), for definitions usable by either broker.
pub fn portable_hash(password: &[u8]) -> String {
    let salt: [u8; SALT_BYTES] = rand::random();
    STANDARD.encode([&salt[..], &Sha256::new_with_prefix(salt).chain_update(password).finalize()].concat())
}

/// Converts a hash and its algorithm name, as in definitions, to the stored form.
///
/// # Errors
/// Why it is invalid.
pub fn imported(hash: &str, algorithm: Option<&str>) -> Result<String, String> {
    if hash.is_empty() {
        return Ok(String::new());
    }
    let (name, bytes) = match algorithm.unwrap_or(SHA256) {
        SHA256 => (SHA256, 32),
        SHA512 => (SHA512, 64),
        ARGON2 => {
            let parsed = PasswordHash::new(hash).map_err(|error| format!("password_hash: {error}"))?;
            let costs =
                argon2::Params::try_from(&parsed).map_err(|error| format!("password_hash: {error}"))?;
            if costs.m_cost() > KIB_MAX || costs.t_cost() > PASSES_MAX || costs.p_cost() > LANES_MAX {
                return Err("password_hash would take too much memory or time to check".to_owned());
            }
            return Ok(hash.to_owned());
        }
        other => return Err(format!("hashing algorithm '{other}' is not supported")),
    };
    match STANDARD.decode(hash) {
        Ok(decoded) if decoded.len() == SALT_BYTES + bytes => Ok(format!("{name}:{hash}")),
        Ok(_) => Err(format!("password_hash is not of the length that {name} gives")),
        Err(error) => Err(format!("password_hash is not base64: {error}")),
    }
}

/// A stored hash as in definitions: hash and algorithm name.
pub fn exported(stored: &str) -> (&str, &'static str) {
    for name in [SHA256, SHA512] {
        if let Some(hash) = stored.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) {
            return (hash, name);
        }
    }
    (stored, if stored.is_empty() { SHA256 } else { ARGON2 })
}

/// Whether a stored hash is in our own format.
pub fn is_ours(stored: &str) -> bool {
    exported(stored).1 == ARGON2
}

/// Validates a hash in our own format, from definitions.
///
/// # Errors
/// It is invalid, in words for the caller.
pub fn ours(hash: &str) -> Result<String, String> {
    imported(hash, Some(ARGON2))
}

fn salted<D: Digest>(password: &[u8], hash: &str) -> bool {
    let Ok(decoded) = STANDARD.decode(hash) else { return false };
    let Some((salt, want)) = decoded.split_at_checked(SALT_BYTES) else { return false };
    // No early exit: timing must not reveal how much matches.
    let got = D::new_with_prefix(salt).chain_update(password).finalize();
    got.len() == want.len() && got.iter().zip(want).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// Whether a check is as slow as for our own hashes.
pub(super) fn is_slow(stored: &str) -> bool {
    is_ours(stored)
}

/// Whether the password matches a stored hash. Deliberately slow for our own hashes.
pub fn verify(password: &[u8], stored: &str) -> bool {
    match exported(stored) {
        ("", _) => false,
        (hash, SHA256) => salted::<Sha256>(password, hash),
        (hash, SHA512) => salted::<Sha512>(password, hash),
        (hash, _) => PasswordHash::new(hash)
            .is_ok_and(|hash| argon2::Argon2::default().verify_password(password, &hash).is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_rabbitmq_made_is_verified() {
        // From RabbitMQ's documentation of password hashing: salt 908D C60A, password test12.
        let stored = imported("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", None).unwrap();
        assert!(verify(b"test12", &stored));
        assert!(!verify(b"test13", &stored));
        assert_eq!(exported(&stored).0, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    #[test]
    fn a_sha_512_hash_of_the_same_form_is_verified() {
        // The same salt and password through Python's hashlib.
        let hash =
            "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc=";
        let stored = imported(hash, Some("rabbit_password_hashing_sha512")).unwrap();
        assert!(verify(b"test12", &stored) && !verify(b"test13", &stored));
    }

    #[test]
    fn hashes_survive_export_and_import() {
        for stored in [hash_password(b"pw").unwrap(), imported(&portable_hash(b"pw"), None).unwrap()] {
            let (hash, algorithm) = exported(&stored);
            assert_eq!(imported(hash, Some(algorithm)).unwrap(), stored);
            assert!(verify(b"pw", &stored) && !verify(b"", &stored));
        }
    }

    #[test]
    fn an_empty_hash_lets_nobody_in_and_bad_ones_are_refused() {
        assert!(!verify(b"", &imported("", None).unwrap()));
        assert!(imported("AAAA", None).is_err());
        assert!(imported("?", None).is_err());
        assert!(imported("AAAA", Some("rabbit_password_hashing_md5")).is_err());
        let costs = |costs: &str| {
            let hash = hash_password(b"x").unwrap().replace("m=19456,t=2,p=1", costs);
            imported(&hash, Some(ARGON2))
        };
        assert!(costs("m=65536,t=10,p=16").is_ok());
        for too_much in
            ["m=65537,t=2,p=1", "m=4194304,t=2,p=1", "m=19456,t=4294967295,p=1", "m=19456,t=2,p=17"]
        {
            assert!(costs(too_much).is_err_and(|why| why.contains("too much")), "{too_much}");
        }
    }
}
