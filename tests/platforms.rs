//! `docs/platforms.md` lists what is skipped where. The lists follow from the scenarios and from what each system lacks.
//!
//! `UPDATE_EXPECTED=1 cargo test --test platforms` writes them anew; read the difference before you commit it.

mod common;

use std::fmt::Write;
use std::fs;

use common::root;
use forkspec::scenario::{Need, Platform, Scenario, needs, standard};

const DOCUMENT: &str = "docs/platforms.md";

/// The scenarios for which there is a reason, each under its reason.
fn list(reason: impl Fn(&Scenario) -> Option<&'static str>) -> String {
    let suite = standard().expect("the standard suite is valid");
    let skipped: Vec<(&str, &str)> =
        suite.scenarios.iter().filter_map(|scenario| Some((reason(scenario)?, scenario.id.as_str()))).collect();
    assert!(!skipped.is_empty(), "a list without scenarios says that a need is not recognised any more");
    let mut reasons: Vec<&str> = skipped.iter().map(|(reason, _)| *reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let mut text = String::new();
    for reason in reasons {
        writeln!(text, "- {reason}:").expect("a String takes everything");
        for (_, id) in skipped.iter().filter(|(other, _)| *other == reason) {
            writeln!(text, "  - `{id}`").expect("a String takes everything");
        }
    }
    text
}

fn assert_listed(name: &str, list: &str) {
    let file = root().join(DOCUMENT);
    let text = fs::read_to_string(&file).expect("it is there");
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let start = text.find(&begin).expect("the list begins") + begin.len();
    let stop = text.find(&end).expect("the list ends");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&file, format!("{}{list}{}", &text[..start], &text[stop..])).expect("it can be written");
        return;
    }
    assert_eq!(&text[start..stop], list, "{DOCUMENT}; UPDATE_EXPECTED=1 writes it anew");
}

#[test]
fn what_is_skipped_is_listed() {
    let unmet = |scenario: &Scenario| needs(scenario).into_iter().find_map(|need| need.unmet(Platform::MacOs));
    assert_listed("macos", &list(unmet));
    let limited = |scenario: &Scenario| {
        needs(scenario).contains(&Need::OwnProcessLimit).then_some("the limit of processes counts all of the user's")
    };
    assert_listed("without namespaces", &list(limited));
}

/// What Linux cannot do it finds out by trying: no scenario is left out there from the start.
#[test]
fn nothing_is_skipped_on_linux_because_of_the_system() {
    for scenario in standard().expect("the standard suite is valid").scenarios {
        assert!(needs(&scenario).into_iter().all(|need| need.unmet(Platform::Linux).is_none()), "{}", scenario.id);
    }
}
