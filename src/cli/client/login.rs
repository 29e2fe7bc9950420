//! Sources of a password: a flag, the environment, a file, or a prompt on the terminal.

use std::fmt;
use std::io::IsTerminal;
use std::path::Path;
use std::str::FromStr;

use super::Failure;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A password from a file: its first line.
pub fn from_file(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text
        .map_err(|error| Failure::Usage(format!("cannot read the password: {}: {error}", path.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned().into()),
        _ => Err(Failure::Usage(format!("cannot read the password: {} is empty", path.display()))),
    }
}

/// Prompts on the terminal.
pub fn from_person(question: &str) -> Result<Secret, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("{question} there is no terminal to ask at")));
    }
    let answer = rpassword::prompt_password(format!("{question} "));
    answer.map(Secret::from).map_err(|error| Failure::Usage(format!("cannot read the password: {error}")))
}
