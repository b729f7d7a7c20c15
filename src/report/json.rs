//! The JSON report: the document as it is.

use super::document::Document;

/// The text of a JSON report, or of another document in its style.
pub fn render(document: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

/// Reads a JSON report.
pub fn read(text: &[u8]) -> serde_json::Result<Document> {
    serde_json::from_slice(text)
}

/// The JSON Schema of the document.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}
