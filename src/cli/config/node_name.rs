//! The node name setting.

use toml::Value;

use super::setting::Setting;

/// Longest node name in bytes: twice the length of a host name.
const BYTES_MAX: usize = 511;

/// A node name, such as `rabbit@shop-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(pub String);

impl Setting for NodeName {
    const FORM: &'static str = "NAME@HOST";

    fn from_text(text: &str) -> Result<Self, String> {
        let is_name = |part: &str| {
            !part.is_empty() && part.chars().all(|one| one.is_ascii_alphanumeric() || "-_.:".contains(one))
        };
        match text.split_once('@') {
            Some((name, host)) if is_name(name) && is_name(host) && text.len() <= BYTES_MAX => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!("{text:?} is no name like rabbit@shop-1")),
        }
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_name_has_a_host_behind_it() {
        for good in ["rabbit@shop-1", "leveret@a.b.c", "a_b@10.0.0.1", "rabbit@::1"] {
            assert_eq!(NodeName::from_text(good), Ok(NodeName(good.to_owned())));
        }
        for wrong in ["", "rabbit", "@h", "a@", "a@b@c", "a b@c", "a@b/c", "a@\n"] {
            assert!(NodeName::from_text(wrong).is_err(), "{wrong:?}");
        }
    }
}
