//! The JSON Schema of scenario files, for editors: made of the tables, never written by hand.

use serde_json::{Map, Value, json};

use super::checks::CHECKS;
use super::headers::HEADERS;
use super::value::Kind;
use super::verbs::{VERBS, Verb};

/// The JSON Schema (draft 2020-12) of a scenario file.
pub fn scenario_schema() -> Value {
    let mut properties = Map::new();
    for row in HEADERS {
        properties.insert(row.name.into(), described(row.value, row.about));
    }
    let steps: Vec<Value> = VERBS.iter().map(step).collect();
    properties.insert(
        "steps".into(),
        json!({ "description": "What is done and what must be observed, in order.", "type": "array", "minItems": 1,
                "items": { "oneOf": steps } }),
    );
    let required: Vec<&str> = HEADERS.iter().filter(|row| row.required).map(|row| row.name).chain(["steps"]).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A forkspec scenario",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn step(verb: &Verb) -> Value {
    let mut properties = Map::new();
    properties.insert(verb.name.into(), described(verb.value, verb.about));
    for key in verb.keys {
        properties.insert(key.name.into(), described(key.value, key.about));
    }
    if verb.name == "expect" {
        for row in CHECKS {
            properties.insert(row.name.into(), described(row.value, row.about));
        }
    }
    let required: Vec<&str> =
        std::iter::once(verb.name).chain(verb.keys.iter().filter(|key| key.required).map(|key| key.name)).collect();
    json!({ "title": verb.name, "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn described(kind: Kind, about: &str) -> Value {
    let mut schema = shape(kind);
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".into(), about.into());
    }
    schema
}

fn shape(kind: Kind) -> Value {
    let string = json!({ "type": "string" });
    let strings = json!({ "anyOf": [string, { "type": "array", "items": string, "minItems": 1 }] });
    let count = json!({ "type": "integer", "minimum": 0 });
    match kind {
        Kind::Role => json!({ "enum": ["server", "client"] }),
        Kind::NewName | Kind::Listener | Kind::Program | Kind::Text => string,
        Kind::NewPeers | Kind::Peers | Kind::Programs | Kind::Processes | Kind::Targets | Kind::Sockets => strings,
        Kind::Words => json!({ "anyOf": [string, { "type": "array", "items": string }] }),
        Kind::Payload => json!({ "anyOf": [
            string,
            object(&[("hex", json!({ "type": "string", "pattern": "^[0-9a-fA-F ]*$" }))], &["hex"]),
            object(&[("pattern", json!({ "anyOf": [count, { "type": "string", "pattern": "^[0-9]+ *([KM]iB)?$" }] }))], &["pattern"]),
            object(&[("lines", count.clone()), ("width", count.clone())], &["lines"]),
            object(&[("text", string.clone()), ("times", count.clone())], &["text"]),
        ] }),
        Kind::Address => json!({ "type": "string", "pattern": "^[0-9a-fA-F.:]+$" }),
        Kind::Time => json!({ "type": "string", "pattern": "^[0-9]+m?s$" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::True => json!({ "const": true }),
        Kind::Count => count,
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::SomeOf(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "array", "items": { "enum": words }, "minItems": 1 }] })
        }
        Kind::Limits => object(&[("descriptors", count.clone()), ("processes", count)], &[]),
        Kind::CountOrBaseline => json!({ "anyOf": [count, { "const": "baseline" }] }),
        Kind::ExitStatus => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 255 }, { "const": "nonzero" }] })
        }
    }
}

fn object(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).into(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}
