//! The summary of a step: Markdown, of which GitHub takes 1 MiB.

use super::super::document::{Document, Scenario, Word};
use super::super::terminal::{explanation, setting};

/// The most bytes of explanations; GitHub drops a summary that is too long as a whole.
const MOST: usize = 512 << 10;
/// The most rows of a table.
const ROWS: usize = 500;

/// The Markdown.
pub fn summary(document: &Document) -> String {
    let counts = &document.summary;
    let share = document.shard.as_ref();
    let share = share.map_or(String::new(), |share| format!(" (shard {} of {})", share.index, share.of));
    let mut text = format!(
        "\n## forkspec{share}: {}\n\n{}\n\n\
         | scenarios | passed | failed | skipped | not judged | time |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n\
         | {} | {} | {} | {} | {} | {:.0} ms |\n",
        document.conclusion(),
        escaped(&setting(&document.subject, document.environment.isolation)),
        document.scenarios.len(),
        counts.pass,
        counts.fail,
        counts.skip,
        counts.error,
        counts.duration_ms,
    );
    if document.interrupted {
        text += "\nInterrupted: scenarios that are not listed were not played.\n";
    }
    let with = |words: &'static [Word]| document.scenarios.iter().filter(|one| words.contains(&one.verdict)).collect();
    let bad: Vec<&Scenario> = with(&[Word::Fail, Word::Error]);
    table(&mut text, &bad);
    let mut left_out = 0;
    for scenario in bad {
        let details = details(scenario);
        if text.len() + details.len() > MOST {
            left_out += 1;
        } else {
            text += &details;
        }
    }
    if left_out > 0 {
        text += &format!("\n{left_out} more explanations are in the log only.\n");
    }
    let skipped: Vec<&Scenario> = with(&[Word::Skip]);
    if !skipped.is_empty() {
        text += &format!("\n<details><summary>{} skipped</summary>\n", skipped.len());
        table(&mut text, &skipped);
        text += "\n</details>\n";
    }
    text
}

fn table(text: &mut String, scenarios: &[&Scenario]) {
    if scenarios.is_empty() {
        return;
    }
    *text += "\n| verdict | scenario | level | reference | |\n| --- | --- | --- | --- | --- |\n";
    for scenario in scenarios.iter().take(ROWS) {
        let message: String = scenario.message().chars().take(200).collect();
        let cells = [scenario.verdict.name(), &scenario.id, &scenario.level.to_string(), &scenario.reference, &message];
        *text += &format!("| {} |\n", cells.map(escaped).join(" | "));
    }
    if scenarios.len() > ROWS {
        *text += &format!("\n… and {} more\n", scenarios.len() - ROWS);
    }
}

fn details(scenario: &Scenario) -> String {
    let text = explanation(scenario).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "\n<details><summary>{} {}</summary>\n\n<pre>\n{}\n</pre>\n</details>\n",
        scenario.verdict.name(),
        escaped(&scenario.id),
        text.trim_end()
    )
}

/// Foreign text that shall be nothing but text: no markup, no link, no mention of anybody, no end of a cell.
fn escaped(text: &str) -> String {
    let harmless = |c: char| !c.is_ascii_punctuation() || matches!(c, '-' | '/' | ',' | ';' | '=' | '\'' | '(' | ')');
    let mut escaped = String::new();
    for c in super::super::text::plain(text).chars() {
        if harmless(c) {
            escaped.push(c);
        } else {
            escaped += &format!("&#{};", u32::from(c));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn markup_is_text() {
        assert_eq!(escaped("a|b"), "a&#124;b");
        assert_eq!(escaped("<b>@x\n"), "&#60;b&#62;&#64;x&#92;n");
        assert_eq!(escaped("plain words, 12-3/4"), "plain words, 12-3/4");
    }
}
