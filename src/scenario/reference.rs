//! The reference page of the scenario language, in Markdown, made of the tables.

use std::fmt::Write;

use super::checks::CHECKS;
use super::headers::HEADERS;
use super::verbs::VERBS;

const PREFACE: &str = "\
# The scenario language

<!-- Made by `forkspec schema language`. -->

A scenario is one TOML file; its path below the suite's folder, without `.toml`, is its id. It has the keys below and
a list of steps. **One step is one inline table on one line.** The key that names what the step does is its verb.

A *peer* is a TCP endpoint of the runner's own. A *program* is started from the subject. `c1.handler` is the process
that owns the server's end of the peer `c1`'s connection, `client.handler` that of a client's;
`server.children` are all children that `server` has, of which there has to be one when something is expected of them.
Where several names are allowed, a list or a range such as `\"c1..c5\"` can stand.

When a check is looked at, if the step does not say: what arrives (bytes, an end, an exit, a state) is waited for until it
is there; counts and what a process holds are taken when the stage is at rest; silence is watched until rest. *At
rest* means that nothing can happen any more unless the runner acts, so waiting is never a matter of luck; where
rest cannot be seen (a program that sleeps for a time), a deadline takes its place; the time in which
programs waited for a processor hardly counts against it.
";

const BYTES: &str = "
## Bytes

What is sent, typed or expected is written in one of these forms. A line ends with `\\n` only if that is written.

| form | bytes |
| --- | --- |
| `\"hello\\n\"` | This text, in UTF-8, with the escapes of TOML. |
| `{ hex = \"00 ff\" }` | These bytes, two digits each. |
| `{ text = \"x\", times = 9 }` | The text so many times over. |
| `{ lines = 1000 }` | So many numbered lines: `line 1`, `line 2`, …, each with its newline. |
| `{ lines = 220, width = 900 }` | The same, each filled up to so many bytes. |
| `{ pattern = \"1MiB\" }` | So many bytes of a fixed sequence in which all 256 values occur and no two stretches are alike: a number, or with `KiB` or `MiB`. |

A payload has 64 MiB at most. `receives`, `stdout` and `stderr` take the bytes that they ask for, and no more: what comes
after them is the next check's. `\"\"` asks that nothing comes.
";

/// The reference page.
pub fn reference_page() -> String {
    let mut page = String::from(PREFACE);
    page.push_str("\n## Keys of a scenario\n\n| key | value | |\n| --- | --- | --- |\n");
    for row in HEADERS {
        let required = if row.required { "" } else { " Optional." };
        line(&mut page, &[&format!("`{}`", row.name), &row.value.describe(), &format!("{}{required}", row.about)]);
    }
    line(&mut page, &["`steps`", "a list of steps", "What is done and what must be observed, in order."]);
    page.push_str("\n## Verbs\n");
    for verb in VERBS {
        push(&mut page, format_args!("\n### `{}`\n\n{}\n\n", verb.name, verb.about));
        push(&mut page, format_args!("Its value is {}.\n\n```toml\n{}\n```\n", verb.value.describe(), verb.example));
        if !verb.keys.is_empty() {
            page.push_str("\n| key | value | |\n| --- | --- | --- |\n");
        }
        for key in verb.keys {
            let required = if key.required { " Required." } else { "" };
            line(&mut page, &[&format!("`{}`", key.name), &key.value.describe(), &format!("{}{required}", key.about)]);
        }
    }
    page.push_str(BYTES);
    page.push_str("\n## Checks\n\nThe keys of an `expect` step.\n\n| check | value | observed on | |\n| --- | --- | --- | --- |\n");
    for row in CHECKS {
        line(&mut page, &[&format!("`{}`", row.name), &row.value.describe(), row.on.describe(), row.about]);
    }
    page
}

fn line(page: &mut String, cells: &[&str]) {
    push(page, format_args!("| {} |\n", cells.join(" | ")));
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a String cannot fail");
}
