//! Accepted and refused tokens, and the permissions they grant.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use super::*;
use crate::identity::Identity;
use crate::names::{QueueName, VhostName};
use crate::refusal::Resource;
use crate::users::Users;

const NOW: Millis = Millis(1_800_000_000_000);
const NOW_S: u64 = NOW.0 / 1000;

/// Generated with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER`, for these tests only.
const RSA_KEY: &[u8] = include_bytes!("rsa-test-key.der");

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn ec() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap())
    }

    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(RSA_KEY).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": encoded(pair.public_key()) })
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": encoded(&point[1..33]), "y": encoded(&point[33..]) })
            }
            Self::Rsa(pair) => {
                let key: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({ "kty": "RSA", "kid": id, "alg": "RS256", "n": encoded(key.n), "e": encoded(key.e) })
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Ec(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", encoded(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": self.algorithm(), "kid": "k1", "typ": "JWT" }), claims)
    }
}

fn settings() -> TokenSettings {
    TokenSettings {
        resource_server_id: "leveret".to_owned(),
        issuer: Some("https://issuer.example".to_owned()),
        scope_prefix: "leveret.".to_owned(),
        additional_scopes_key: None,
        username_claims: vec!["preferred_username".to_owned(), "sub".to_owned()],
        hs256_key: None,
    }
}

fn trusting(signer: &Signer, settings: TokenSettings) -> Tokens {
    let tokens = Tokens::new(settings);
    let set = json!({ "keys": [signer.jwk("k1")] });
    assert_eq!(tokens.set_keys(set.to_string().as_bytes()), Ok(1));
    tokens
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example",
        "aud": ["other", "leveret"],
        "sub": "ann",
        "exp": NOW_S + 60,
        "scope": "openid leveret.read:*/q* leveret.tag:management",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// The identity in a token.
fn login(tokens: &Tokens, token: &str) -> Identity {
    let (user, grant) = tokens.verify(token.as_bytes(), NOW).unwrap();
    Identity::granted(user, grant)
}

#[test]
fn each_algorithm_is_verified_and_names_the_user() {
    for signer in [Signer::ed(), Signer::ec(), Signer::rsa()] {
        let tokens = trusting(&signer, settings());
        let identity = login(&tokens, &signer.token(&claims()));
        assert_eq!(identity.user.as_str(), "ann");
        assert_eq!(identity.expires(), Some(Millis((NOW_S + 60) * 1000)));
        assert_eq!(identity.tags(&Users::new()), ["management"]);
    }
}

#[test]
fn a_token_that_is_not_for_us_or_not_for_now_is_refused() {
    let signer = Signer::ed();
    let tokens = trusting(&signer, settings());
    let verify = |claims: &Value| tokens.verify(signer.token(claims).as_bytes(), NOW).unwrap_err();
    for wrong in [
        with("aud", json!("other")),
        without("aud"),
        with("iss", json!("https://evil.example")),
        without("iss"),
    ] {
        assert!(matches!(verify(&wrong), TokenRefused::Invalid(_)), "{wrong}");
    }
    for wrong in [with("exp", json!(NOW_S)), with("exp", json!("soon")), with("exp", json!(null))] {
        assert_eq!(verify(&wrong), TokenRefused::Expired, "{wrong}");
    }
    let endless = login(&tokens, &signer.token(&without("exp")));
    assert_eq!(endless.expires(), None);
    assert_eq!(verify(&with("nbf", json!(NOW_S + 61))), TokenRefused::TooEarly);
    assert_eq!(verify(&without("sub")), TokenRefused::Nameless);
    assert!(tokens.verify(signer.token(&with("nbf", json!(NOW_S + 60))).as_bytes(), NOW).is_ok());
}

#[test]
fn only_the_issuer_s_key_and_its_algorithm_count() {
    let signer = Signer::rsa();
    let tokens = trusting(&signer, settings());
    let stranger = Signer::ed();
    let refused = |token: &str| tokens.verify(token.as_bytes(), NOW).unwrap_err();
    assert!(matches!(refused(&stranger.token(&claims())), TokenRefused::NoKey(..)));
    assert!(tokens.take_key_missed() && !tokens.take_key_missed());

    // Same algorithm, different key.
    let (one, other) = (Signer::ed(), Signer::ed());
    let trusts_one = trusting(&one, settings());
    assert!(matches!(
        trusts_one.verify(other.token(&claims()).as_bytes(), NOW),
        Err(TokenRefused::Invalid(_))
    ));

    // A critical extension.
    let critical =
        signer.sign(&json!({ "alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": false }), &claims());
    assert!(matches!(refused(&critical), TokenRefused::Invalid(_)));

    // No signature, and the public key as a secret.
    let body = encoded(claims().to_string());
    let none = format!("{}.{body}.", encoded(json!({ "alg": "none" }).to_string()));
    assert!(matches!(refused(&none), TokenRefused::Invalid(_)));
    let head = encoded(json!({ "alg": "HS256", "kid": "k1" }).to_string());
    let message = format!("{head}.{body}");
    let Signer::Rsa(pair) = &signer else { unreachable!() };
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, pair.public().as_ref());
    let forged = format!("{message}.{}", encoded(ring::hmac::sign(&key, message.as_bytes())));
    assert!(matches!(refused(&forged), TokenRefused::NoKey(..)));

    // One byte of the claims is changed.
    let mut token = signer.token(&claims());
    let dot = token.find('.').unwrap() + 10;
    token.replace_range(dot..=dot, if &token[dot..=dot] == "A" { "B" } else { "A" });
    assert!(tokens.verify(token.as_bytes(), NOW).is_err());
    for text in ["", "a.b.c", "..", "ey.ey.ey", &"x".repeat(100_000)] {
        assert!(tokens.verify(text.as_bytes(), NOW).is_err());
    }
}

#[test]
fn without_a_key_id_any_key_of_the_issuer_may_have_signed() {
    let (one, two, stranger) = (Signer::ed(), Signer::ed(), Signer::ed());
    let tokens = Tokens::new(settings());
    let set = json!({ "keys": [one.jwk("k1"), two.jwk("k2")] });
    assert_eq!(tokens.set_keys(set.to_string().as_bytes()), Ok(2));
    let verify = |signer: &Signer, head: Value| tokens.verify(signer.sign(&head, &claims()).as_bytes(), NOW);
    assert!(verify(&one, json!({ "alg": "EdDSA" })).is_ok());
    assert!(verify(&two, json!({ "alg": "EdDSA" })).is_ok());
    assert!(matches!(verify(&stranger, json!({ "alg": "EdDSA" })), Err(TokenRefused::Invalid(_))));
    // A named key is the only one tried.
    assert!(verify(&two, json!({ "alg": "EdDSA", "kid": "k2" })).is_ok());
    let other = verify(&two, json!({ "alg": "EdDSA", "kid": "k1" }));
    assert!(matches!(other, Err(TokenRefused::Invalid(_))));
    assert!(matches!(verify(&one, json!({ "alg": "EdDSA", "kid": "k3" })), Err(TokenRefused::NoKey(..))));
    // The key determines the algorithm.
    for alg in ["RS256", "ES256", "HS256", "HS512", "none", "None", ""] {
        assert!(verify(&one, json!({ "alg": alg, "kid": "k1" })).is_err(), "{alg}");
    }
}

#[test]
fn hs256_needs_a_configured_key() {
    let secret = b"a secret of 32 bytes, or longer!".to_vec();
    let head = encoded(json!({ "alg": "HS256" }).to_string());
    let message = format!("{head}.{}", encoded(claims().to_string()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    let token = format!("{message}.{}", encoded(ring::hmac::sign(&key, message.as_bytes())));
    let with_key = |hs256_key| Tokens::new(TokenSettings { hs256_key, ..settings() });
    assert!(with_key(Some(secret)).verify(token.as_bytes(), NOW).is_ok());
    assert!(with_key(Some(b"another".to_vec())).verify(token.as_bytes(), NOW).is_err());
    assert!(with_key(None).verify(token.as_bytes(), NOW).is_err());
}

#[test]
fn scopes_become_rights() {
    let signer = Signer::ed();
    let tokens = trusting(&signer, settings());
    for (scope, vhost, access, name, want) in [
        (json!("leveret.read:*/*"), "/", Access::Read, "q", Some(true)),
        (json!("leveret.read:*/*"), "/", Access::Write, "q", Some(false)),
        (json!(["leveret.write:%2F/q1", "leveret.read:%2F/*"]), "/", Access::Write, "q1", Some(true)),
        (json!(["leveret.write:%2F/q1", "leveret.read:%2F/*"]), "/", Access::Write, "q2", Some(false)),
        (json!("leveret.configure:v/q*"), "v", Access::Configure, "queue", Some(true)),
        (json!("leveret.configure:v/q*"), "/", Access::Configure, "queue", None),
        (json!("other.read:*/*"), "/", Access::Read, "q", None),
        (json!("read:*/*"), "/", Access::Read, "q", None),
        (json!(""), "/", Access::Read, "q", None),
    ] {
        let token = signer.token(&with("scope", scope.clone()));
        let identity = login(&tokens, &token);
        let rights = identity.rights(&Users::new(), &VhostName::new(vhost));
        assert_eq!(identity.may_enter(&Users::new(), vhost), want.is_some(), "{scope}");
        let resource = Resource::Queue(QueueName::new(name));
        assert_eq!(
            rights.map(|rights| rights.check(access, &resource).is_ok()),
            want,
            "{scope} {vhost} {access:?} {name}"
        );
    }
}

#[test]
fn scopes_may_stand_in_another_claim() {
    let signer = Signer::ed();
    for (key, claim, value) in [
        ("roles", "roles", json!(["leveret.tag:monitoring"])),
        ("a.b", "a", json!({ "b": "leveret.tag:monitoring" })),
        ("extra", "extra", json!({ "leveret": ["leveret.tag:monitoring"], "x": ["leveret.tag:no"] })),
    ] {
        let settings = TokenSettings { additional_scopes_key: Some(key.to_owned()), ..settings() };
        let tokens = trusting(&signer, settings);
        let identity = login(&tokens, &signer.token(&with(claim, value)));
        assert_eq!(identity.tags(&Users::new()), ["management", "monitoring"], "{key}");
    }
}

#[test]
fn keys_that_cannot_be_used_leave_those_that_are_there() {
    let signer = Signer::ed();
    let tokens = trusting(&signer, settings());
    for bad in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        assert!(tokens.set_keys(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(tokens.verify(signer.token(&claims()).as_bytes(), NOW).is_ok());
}
