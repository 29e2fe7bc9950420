//! `eval`, without Erlang: only one expression is supported, by which Puppet's module checks a password before it
//! sets one.

use super::fault::Fault;
use super::job::Job;
use super::users;

const ASKS: &str = "rabbit_access_control:check_user_pass_login(";

pub(super) fn eval(job: &Job) -> Result<(), Fault> {
    let Some((name, password)) = login(job.word(1)) else {
        return Err(Fault::unsupported("there is no Erlang here"));
    };
    let term = |text: &str| format!("<<{text:?}>>");
    let name_term = term(&name);
    job.tell(&if users::may_log_in(job, &name, &password)? {
        format!("{{ok,{{user,{name_term},[],[]}}}}")
    } else {
        format!("{{refused,{name_term},\"user '~s' - invalid credentials\",[{name_term}]}}")
    })
}

/// Name and password in the expression, if it is a login check.
fn login(expression: &str) -> Option<(String, String)> {
    let arguments = expression.trim().strip_prefix(ASKS)?;
    let (name, rest) = binary(arguments)?;
    let (password, rest) = binary(rest.trim_start().strip_prefix(',')?)?;
    matches!(rest.trim(), ")" | ").").then_some((name, password))
}

/// The text in `list_to_binary("text")`, and the rest.
fn binary(from: &str) -> Option<(String, &str)> {
    let mut rest = from.trim_start().strip_prefix("list_to_binary(\"")?.chars();
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some((text, rest.as_str().strip_prefix(')')?)),
            '\\' => text.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_all_that_is_understood() {
        let asked = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let puppet =
            r#"rabbit_access_control:check_user_pass_login(list_to_binary("u"), list_to_binary("p)\"\\"))."#;
        assert_eq!(login(puppet), asked("u", "p)\"\\"));
        assert_eq!(login(puppet.trim_end_matches('.')), asked("u", "p)\"\\"));
        for other in [
            "",
            "1 + 1.",
            "rabbit_access_control:check_user_pass_login(",
            r#"rabbit_access_control:check_user_pass_login(list_to_binary("u"))."#,
            r#"rabbit_access_control:check_user_pass_login(list_to_binary("u"), list_to_binary("p")), halt()."#,
            r#"rabbit_access_control:check_user_pass_login(list_to_binary("u"), list_to_binary("\x"))."#,
        ] {
            assert_eq!(login(other), None, "{other}");
        }
    }
}
