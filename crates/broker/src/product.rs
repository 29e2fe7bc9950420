//! The product name and version that the broker announces.
//!
//! Some clients and tools behave differently with a server that calls itself `RabbitMQ` of a certain version. An
//! operator may set the name for their sake; it affects nothing else, except [`Product::keeps_to_specified_prefetch`].

/// A product and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Such as `Leveret`.
    pub name: String,
    /// Such as `0.1.0`.
    pub version: String,
}

static OURS: std::sync::LazyLock<Product> = std::sync::LazyLock::new(Product::default);

impl Default for Product {
    fn default() -> Self {
        Self { name: "Leveret".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

impl Product {
    /// The default product.
    pub(super) fn ours() -> &'static Self {
        &OURS
    }

    /// Parses `NAME` or `NAME VERSION`; the version defaults to ours.
    ///
    /// # Errors
    /// The text has neither form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = |part: &&str| !part.is_empty() && part.len() <= 100 && !part.contains(char::is_control);
        match text.trim().split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>()[..] {
            [name] if fits(&name) => Ok(Self { name: name.to_owned(), ..Self::default() }),
            [name, version] if fits(&name) && fits(&version) => {
                Ok(Self { name: name.to_owned(), version: version.to_owned() })
            }
            _ => Err(format!("{text:?} is not a name and a version like RabbitMQ 3.13.7")),
        }
    }

    /// The version, if the product claims to be `RabbitMQ`.
    pub fn rabbitmq_version(&self) -> Option<&str> {
        (self.name == "RabbitMQ").then_some(self.version.as_str())
    }

    /// Whether kombu expects a server of this name to apply `basic.qos` without `global` to all consumers of a channel,
    /// existing ones included, as the specification says: all but `RabbitMQ` 3.3 to 3.x.
    pub fn keeps_to_specified_prefetch(&self) -> bool {
        let Some(version) = self.rabbitmq_version() else { return true };
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        !((3, 3)..(4, 0)).contains(&version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_or_without_a_version() {
        let product = |name: &str, version: &str| Product { name: name.into(), version: version.into() };
        assert_eq!(Product::parse("RabbitMQ 3.13.7"), Ok(product("RabbitMQ", "3.13.7")));
        assert_eq!(Product::parse(" Rabbit "), Ok(product("Rabbit", env!("CARGO_PKG_VERSION"))));
        for wrong in ["", " ", "a b c", "a\tb\u{7}"] {
            assert!(Product::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn kombu_expects_the_specified_prefetch_of_all_but_rabbitmq_3() {
        for (text, want) in [
            ("Leveret 0.1.0", true),
            ("Leveret 3.13.7", true),
            ("RabbitMQ 3.2.4", true),
            ("RabbitMQ 3.3.0", false),
            ("RabbitMQ 3.13.7", false),
            ("RabbitMQ 4.0.0", true),
        ] {
            assert_eq!(Product::parse(text).unwrap().keeps_to_specified_prefetch(), want, "{text}");
        }
    }
}
