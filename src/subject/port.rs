//! The port of a run: a number, or `auto`.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A port; 0 is `auto`, the port that the server is seen to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Port, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Port(0)),
            Ok(port @ 1..) => Ok(Port(port)),
            _ => Err("a port is a number from 1 to 65535, or `auto`".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Port, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Word(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Word(word) => word,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_auto() {
        assert_eq!("9877".parse(), Ok(Port(9877)));
        assert_eq!("auto".parse(), Ok(Port(0)));
        for wrong in ["0", "65536", "-1", "http", ""] {
            assert!(wrong.parse::<Port>().is_err(), "{wrong}");
        }
        let written = |text: &str| toml::from_str::<std::collections::BTreeMap<String, Port>>(text);
        assert_eq!(written("port = 9877").unwrap()["port"], Port(9877));
        for wrong in ["port = 99999", "port = -1", "port = 'http'"] {
            assert!(written(wrong).unwrap_err().to_string().contains("from 1 to 65535"), "{wrong}");
        }
    }
}
