//! Checks answers against the description's schemas.

use std::collections::BTreeSet;

use serde_json::Value;

/// The description's schemas, and which of their members were seen in answers.
pub(crate) struct Schemas {
    named: Value,
    seen: BTreeSet<String>,
}

impl Schemas {
    pub(crate) fn of(description: &Value) -> Self {
        Self { named: description["components"]["schemas"].clone(), seen: BTreeSet::new() }
    }

    /// The first error in an answer, if any. Undescribed members are errors too.
    pub(crate) fn check(&mut self, value: &Value, schema: &Value, at: &str) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().expect("a name");
            let named = self.named[name].clone();
            assert!(named.is_object(), "{name} is described");
            return self.object(value, &named, name);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let tried = choices.iter().map(|choice| self.check(value, choice, at)).collect::<Vec<_>>();
            let complaints: Vec<_> = tried.iter().filter_map(|tried| tried.as_ref().err()).collect();
            return if complaints.len() == tried.len() { Err(format!("{complaints:?}")) } else { Ok(()) };
        }
        let right = match schema["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            Some("array") => value.is_array(),
            Some("object") => return self.object(value, schema, at),
            _ => true,
        };
        if !right {
            return Err(format!("{at} should be {}: {value}", schema["type"]));
        }
        let mut items = value.as_array().into_iter().flatten();
        items.try_for_each(|item| self.check(item, &schema["items"], at))
    }

    fn object(&mut self, value: &Value, schema: &Value, name: &str) -> Result<(), String> {
        let Some(object) = value.as_object() else {
            return Err(format!("{name} should be an object: {value}"));
        };
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(required) {
                return Err(format!("{name}.{required} is missing in {value}"));
            }
        }
        for (member, value) in object {
            let (known, of_all) = (&schema["properties"][member], &schema["additionalProperties"]);
            let known = if known.is_null() { of_all } else { known };
            if known.is_null() {
                return Err(format!("{name}.{member} is not described: {value}"));
            }
            self.seen.insert(format!("{name}.{member}"));
            self.check(value, known, &format!("{name}.{member}"))?;
        }
        Ok(())
    }

    /// Described members that no answer contained.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let schemas = self.named.as_object().expect("schemas");
        let members = schemas.iter().flat_map(|(name, schema)| {
            let members = schema["properties"].as_object().into_iter().flatten();
            members.map(move |(member, _)| format!("{name}.{member}"))
        });
        members.filter(|member| !self.seen.contains(member)).collect()
    }
}
