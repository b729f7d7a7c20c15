//! Workflow commands: lines of output that the runner of GitHub obeys.

use std::fs::File;
use std::io::{self, Read};

/// A line `::NAME KEY=VALUE,…::MESSAGE`.
pub fn command(name: &str, properties: &[(&str, &str)], message: &str) -> String {
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("{key}={}", property(value))).collect();
    let gap = if properties.is_empty() { "" } else { " " };
    format!("::{name}{gap}{}::{}\n", properties.join(","), data(message))
}

/// What would end the message, or begin an escape.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What would end the property or all of them, besides.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Stops the obeying of commands around output that is not our own. The word that ends it cannot be guessed.
pub struct Fence {
    token: String,
}

impl Fence {
    /// A fence of its own.
    pub fn new() -> io::Result<Fence> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Fence { token: format!("forkspec-{:032x}", u128::from_ne_bytes(bytes)) })
    }

    /// The line before foreign output.
    pub fn open(&self) -> String {
        command("stop-commands", &[], &self.token)
    }

    /// The line after it. The output may have ended in the middle of a line.
    pub fn close(&self) -> String {
        format!("\n::{}::\n", self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_part_is_escaped() {
        assert_eq!(
            command("error", &[("title", "a:b,c%d\r\ne")], "a:b,c%d\r\ne"),
            "::error title=a%3Ab%2Cc%25d%0D%0Ae::a:b,c%25d%0D%0Ae\n"
        );
        assert_eq!(command("endgroup", &[], ""), "::endgroup::\n");
    }

    #[test]
    fn no_two_fences_are_alike() {
        let [one, other] = [Fence::new(), Fence::new()].map(|fence| fence.expect("there is randomness"));
        assert_ne!(one.token, other.token);
        assert_eq!(one.token.len(), "forkspec-".len() + 32);
    }
}
