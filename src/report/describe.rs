//! From what a run found out to what reports say.

use super::document::{
    Client, Document, Environment, Event, Excerpt, Failure, Refused, Scenario, Server, Subject, Summary, Word,
};
use crate::catalogue;
use crate::play;
use crate::run::{self, Played, Run, SubjectInfo, Verdict, millis};
use crate::scenario::{Role, Source, Span};

/// How many lines are shown before and after the one that is meant.
const NEIGHBOURS: usize = 1;
/// How many characters of a line are shown.
const WIDEST: usize = 110;

impl Document {
    /// The document of a run.
    pub fn of(run: &Run, strict: bool) -> Document {
        let scenarios: Vec<Scenario> = run.played.iter().map(Scenario::of).collect();
        Document {
            forkspec: env!("CARGO_PKG_VERSION").into(),
            subject: Subject::of(&run.subject),
            environment: Environment::of(&run.environment),
            strict,
            interrupted: run.interrupted,
            shard: run.share.clone(),
            summary: Summary::of(&scenarios, millis(run.duration)),
            scenarios,
        }
    }
}

impl Subject {
    /// What reports say of the programs.
    pub fn of(info: &SubjectInfo) -> Subject {
        let own = |command: &(Vec<String>, bool)| match command {
            (words, true) => words.clone(),
            // Where the binary lies says nothing about the reference program.
            (words, false) => std::iter::once("forkspec".to_owned()).chain(words.iter().skip(1).cloned()).collect(),
        };
        let roles = [(Role::Server, info.server.1), (Role::Client, info.client.1)];
        Subject {
            server: Server { command: own(&info.server), model: info.model, declared: info.declared },
            client: Client { command: own(&info.client) },
            given: roles.into_iter().filter_map(|(role, given)| given.then_some(role)).collect(),
        }
    }
}

impl Environment {
    fn of(environment: &run::Environment) -> Environment {
        let refused = environment.refused.iter();
        Environment {
            os: std::env::consts::OS.into(),
            isolation: environment.isolation,
            refused: refused
                .map(|(isolation, reason)| Refused { isolation: *isolation, reason: reason.clone() })
                .collect(),
            waited_ms: (!environment.waited.is_zero()).then(|| millis(environment.waited)),
        }
    }
}

impl Scenario {
    /// What reports say of a scenario that was played.
    pub fn of(played: &Played) -> Scenario {
        let source = &played.scenario.source;
        let (verdict, reason, failure) = match &played.verdict {
            Verdict::Pass => (Word::Pass, None, None),
            Verdict::Skip(reason) => (Word::Skip, Some(reason.clone()), None),
            Verdict::Error(reason) => (Word::Error, Some(reason.clone()), None),
            Verdict::Fail(failure) => (Word::Fail, None, Some(Failure::of(source, failure))),
        };
        let timeline = played.timeline.iter().map(|event| Event { at_ms: millis(event.at), event: event.text.clone() });
        Scenario {
            id: played.scenario.id.clone(),
            title: played.scenario.title.clone(),
            reference: played.scenario.reference.clone(),
            path: (!source.embedded).then(|| source.path.clone()),
            level: played.scenario.level,
            verdict,
            duration_ms: millis(played.duration),
            reason,
            failure,
            timeline: timeline.collect(),
        }
    }
}

impl Failure {
    fn of(source: &Source, failure: &play::Failure) -> Failure {
        let defect = failure.defect.as_deref().and_then(catalogue::find);
        Failure {
            step: failure.step,
            line: failure.span.as_ref().map(|span| source.line_of(span.start)),
            excerpt: failure.span.as_ref().map(|span| Excerpt::of(source, span)),
            expected: failure.expected.clone(),
            observed: failure.observed.clone(),
            explanation: defect.map(|defect| defect.why.trim().to_owned()),
            defect: failure.defect.clone(),
            processes: failure.tables.processes.clone(),
            sockets: failure.tables.sockets.clone(),
            stderr: failure.tables.stderr.clone(),
        }
    }
}

/// So much of a line as is shown, with a mark where something is left out.
fn cut(line: &str, left_out: usize) -> String {
    let letters = line.chars().count();
    let mut shown: String = line.chars().skip(left_out).take(WIDEST).collect();
    if left_out > 0 {
        shown = format!("…{}", shown.chars().skip(1).collect::<String>());
    }
    if letters > left_out + WIDEST {
        shown.pop();
        shown.push('…');
    }
    shown
}

impl Excerpt {
    fn of(source: &Source, span: &Span) -> Excerpt {
        let text = &source.text;
        let begin = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[span.start..].find('\n').map_or(text.len(), |newline| span.start + newline);
        let line = source.line_of(span.start);
        let first_line = line.saturating_sub(NEIGHBOURS).max(1);
        let lines = text.lines().skip(first_line - 1).take(line + NEIGHBOURS + 1 - first_line);
        let before = text[begin..span.start].chars().count();
        // What is meant begins in sight, however long its line is.
        let left_out = if before < WIDEST / 2 { 0 } else { before - WIDEST / 4 };
        let meant = text[span.start..span.end.clamp(span.start, end)].chars().count();
        Excerpt {
            first_line,
            lines: lines
                .enumerate()
                .map(|(number, one)| cut(one, if first_line + number == line { left_out } else { 0 }))
                .collect(),
            column: 1 + before - left_out,
            length: meant.min(WIDEST - (before - left_out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// What is meant stands where the excerpt says, and no line is longer than can be shown.
    #[rstest]
    #[case::at_the_beginning("{ send = ", 300)]
    #[case::far_to_the_right(&"x".repeat(500), 300)]
    #[case::short("{ send = ", 3)]
    fn long_lines_are_cut(#[case] before: &str, #[case] after: usize) {
        let line = format!("{before}HERE{}", "y".repeat(after));
        let text = format!("{}\n{line}\nlast\n", "z".repeat(200));
        let source = Source { path: "a.toml".into(), text: text.clone(), embedded: false };
        let start = text.find("HERE").expect("it is there");
        let excerpt = Excerpt::of(&source, &(start..start + 4));
        let shown: Vec<char> = excerpt.lines[1].chars().collect();
        assert_eq!(shown[excerpt.column - 1..][..excerpt.length].iter().collect::<String>(), "HERE");
        assert!(excerpt.lines.iter().all(|line| line.chars().count() <= WIDEST), "{excerpt:?}");
        assert_eq!(excerpt.lines[1] == line, line.len() <= WIDEST, "only what is too long is cut");
    }
}
