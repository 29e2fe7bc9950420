//! Global parameters: values that tools store in the broker, which does not interpret them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::broker::Broker;
use super::definitions::{Changes, Key};
use super::refusal::Refusal;
use super::vhosts::check_name;

/// Maximum number of parameters.
const PARAMETERS_MAX: usize = 1000;

/// Maximum size of a value, in bytes of JSON.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The parameter with the cluster's name.
pub const CLUSTER_NAME: &str = "cluster_name";

/// Maximum length of the announced name: it is in the first frame to each client.
const CLUSTER_NAME_BYTES_MAX: usize = 255;

impl Broker {
    /// All global parameters, by name.
    pub fn global_parameters(&self) -> BTreeMap<String, Value> {
        self.global_parameters.read().clone()
    }

    /// A global parameter by name.
    pub fn global_parameter(&self, name: &str) -> Option<Value> {
        self.global_parameters.read().get(name).cloned()
    }

    /// The name of the cluster, which is this single node: a global parameter, as in `RabbitMQ`.
    pub fn cluster_name(&self) -> String {
        let given = self.global_parameter(CLUSTER_NAME);
        let given =
            given.as_ref().and_then(Value::as_str).filter(|name| name.len() <= CLUSTER_NAME_BYTES_MAX);
        given.unwrap_or("leveret").to_owned()
    }

    /// Sets a global parameter. Returns `true` if it is new. Durable on return.
    pub fn set_global_parameter(&self, name: &str, value: &Value) -> Result<bool, Refusal> {
        check_name("global parameter", name)?;
        if value.to_string().len() > VALUE_BYTES_MAX {
            let why = format!("a global parameter has at most {VALUE_BYTES_MAX} bytes of JSON");
            return Err(Refusal::Precondition(why));
        }
        let _change = self.administration.lock();
        let (new, count) = {
            let all = self.global_parameters.read();
            (!all.contains_key(name), all.len())
        };
        if new && count >= PARAMETERS_MAX {
            return Err(Refusal::Precondition(format!(
                "there are {PARAMETERS_MAX} global parameters already"
            )));
        }
        let mut changes = Changes::default();
        changes.put(Key::global_parameter(name), value);
        self.change(&changes)?;
        Ok(new)
    }

    /// Clears a global parameter. Returns `false` if it does not exist.
    pub fn clear_global_parameter(&self, name: &str) -> Result<bool, Refusal> {
        let _change = self.administration.lock();
        if !self.global_parameters.read().contains_key(name) {
            return Ok(false);
        }
        let mut changes = Changes::default();
        changes.remove(Key::global_parameter(name));
        self.change(&changes)?;
        Ok(true)
    }
}
