//! Foreign text: a subject chooses its name and its words, and they must command neither the reader's terminal nor the
//! program that reads a report.

/// Shows what cannot be printed as `\u{1b}`: control characters, line ends among them; characters that XML and YAML do
/// not allow; those that turn the direction of writing.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => {
                shown.extend(c.escape_unicode());
            }
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// The same for a text of several lines.
pub fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_printed_is_shown() {
        assert_eq!(plain("a\u{1b}[31m\r\n\0\u{85}é☃"), "a\\u{1b}[31m\\r\\n\\u{0}\\u{85}é☃");
        assert_eq!(plain("\u{202e}\u{ffff}\u{2028}"), "\\u{202e}\\u{ffff}\\u{2028}");
        assert_eq!(plain_lines("a\tb\n\u{7}c\n"), "a\\tb\n\\u{7}c");
    }
}
