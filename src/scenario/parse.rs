//! From the text of a file to a [`Scenario`], or to all of its mistakes.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::action::{Action, Check, CountOrBaseline, Level, Model, Role, Scenario, Source, Step, Target};
use super::checks::{CHECKS, CheckRow, On};
use super::fields::Fields;
use super::headers::HEADERS;
use super::mistake::{Mistake, Mistakes, nearest, suggest};
use super::order;
use super::scope::{Meaning, Scope};
use super::value::{Kind, Reader, Value, names_in};
use super::verbs::{VERBS, Verb};

type Entry<'t> = (&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>);

/// Reads a scenario. `id` is its path below the suite's folder, without the ending.
pub fn parse(id: &str, source: Source) -> Result<Scenario, Mistakes> {
    let mut scope = Scope::default();
    let mut reader = Reader { scope: &mut scope, mistakes: Vec::new() };
    let parsed = {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        // One slip, such as a quotation mark that is missing, makes the rest unreadable: only the first one is meant.
        if let Some(error) = errors.into_iter().min_by_key(|error| error.span().map_or(0, |span| span.start)) {
            let span = error.span().unwrap_or(0..0);
            reader.wrong(Mistake::new(format!("not TOML: {}", error.message()), span));
        }
        // A text that is no TOML leaves holes in the table; complaining about these too would only confuse.
        if reader.mistakes.is_empty() { document(id, &source, table.get_ref(), &mut reader) } else { None }
    };
    let mut list = reader.mistakes;
    match parsed {
        Some(scenario) if list.is_empty() => Ok(scenario),
        _ => {
            list.sort_by_key(|mistake| mistake.span.start);
            Err(Mistakes { source, list })
        }
    }
}

/// The entries of a table in the order of the text.
fn in_order<'t>(table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut entries: Vec<Entry<'t>> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn document(id: &str, source: &Source, table: &DeTable<'_>, reader: &mut Reader<'_>) -> Option<Scenario> {
    let mut header = Fields::default();
    let mut steps = None;
    for (key, value) in in_order(table) {
        match HEADERS.iter().find(|row| row.name == key.get_ref()) {
            Some(row) => {
                if let Some(value) = reader.read(row.value, value) {
                    header.insert(row.name, value);
                }
            }
            None if key.get_ref() == "steps" => steps = Some(value),
            None => {
                let known = HEADERS.iter().map(|row| row.name).chain(["steps"]);
                reader.wrong(
                    Mistake::new(format!("no key of a scenario is called `{}`", key.get_ref()), key.span())
                        .help(suggest(key.get_ref(), known)),
                );
            }
        }
    }
    let missing = |name: &str| !table.iter().any(|(key, _)| key.get_ref() == name);
    for row in HEADERS.iter().filter(|row| row.required && missing(row.name)) {
        let missing = Mistake::new(format!("`{}` is missing", row.name), 0..0).label("the file has none");
        reader.wrong(missing.help(format!("`{}` is {}. {}", row.name, row.value.describe(), row.about)));
    }
    let steps = match steps {
        Some(value) => read_steps(source, value, reader),
        None => {
            reader.wrong(
                Mistake::new("`steps` is missing", 0..0)
                    .label("the file has none")
                    .help("what is done and observed: steps = [ { start = \"server\" }, … ]"),
            );
            Vec::new()
        }
    };
    let level = match header.word("level")?.as_str() {
        "must" => Level::Must,
        "should" => Level::Should,
        _ => Level::May,
    };
    let tests = match header.word("tests")?.as_str() {
        "server" => BTreeSet::from([Role::Server]),
        "client" => BTreeSet::from([Role::Client]),
        _ => BTreeSet::from([Role::Server, Role::Client]),
    };
    let models = header
        .words("models")
        .map(|words| Model::ALL.into_iter().filter(|model| words.contains(&model.to_string())).collect());
    Some(Scenario {
        id: id.to_owned(),
        title: header.word("title")?,
        reference: header.word("reference")?,
        level,
        tests,
        defect: header.word("defect")?,
        about: header.word("about").unwrap_or_default().trim().to_owned(),
        models,
        launch_inetd: header.word("launch").is_some(),
        echoes: header.word("service").is_none(),
        steps,
        source: source.clone(),
    })
}

fn read_steps(source: &Source, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Vec<Step> {
    let DeValue::Array(items) = value.get_ref() else {
        reader.wrong(Mistake::new("`steps` is not a list", value.span()).label("wants [ { … }, { … } ]"));
        return Vec::new();
    };
    if items.is_empty() {
        reader.wrong(Mistake::new("a scenario without steps shows nothing", value.span()));
    }
    let steps: Vec<Step> = items.iter().filter_map(|item| read_step(source, item, reader)).collect();
    let expects = steps.iter().any(|step| matches!(step.action, Action::Expect { .. }));
    if !expects && steps.len() == items.len() && !items.is_empty() {
        reader.wrong(
            Mistake::new("a scenario without an `expect` step cannot fail", value.span())
                .label("state what must be observed: { expect = …, … }"),
        );
    }
    if steps.len() == items.len() {
        reader.mistakes.extend(order::mistakes(&steps));
    }
    steps
}

fn read_step(source: &Source, item: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Step> {
    let span = item.span();
    let DeValue::Table(table) = item.get_ref() else {
        reader.wrong(Mistake::new("a step is a table", span).label("wants { VERB = …, … }"));
        return None;
    };
    let text = source.text.get(span.clone()).unwrap_or_default();
    if text.contains('\n') {
        // TOML 1.1 allows it, most editors' TOML plug-ins do not yet.
        let first = span.start..span.start + text.find('\n').unwrap_or(1);
        reader.wrong(Mistake::new("a step goes over several lines", first).label("write it on one line"));
    }
    let entries = in_order(table);
    let verbs: Vec<(&Verb, &Entry<'_>)> = entries
        .iter()
        .filter_map(|entry| VERBS.iter().find(|verb| verb.name == entry.0.get_ref()).map(|verb| (verb, entry)))
        .collect();
    let (verb, _) = match verbs.as_slice() {
        [one] => *one,
        [] => {
            let known = VERBS.iter().map(|verb| verb.name);
            let (at, help) = match entries.first() {
                Some((key, _)) if CHECKS.iter().any(|row| row.name == key.get_ref()) => {
                    let key_span = key.span();
                    (key_span, format!("`{0}` is a check: {{ expect = …, {0} = … }}", key.get_ref()))
                }
                Some((key, _)) => {
                    if let Some(meant) = nearest(key.get_ref(), known.clone()) {
                        declare(meant, key.get_ref(), &entries, reader);
                    }
                    (key.span(), suggest(key.get_ref(), known))
                }
                None => (span, "wants { VERB = …, … }".into()),
            };
            reader.wrong(Mistake::new("this step has no verb", at).help(help));
            return None;
        }
        [(first, _), (_, (key, _)), ..] => {
            reader.wrong(
                Mistake::new(format!("a step has one verb, and this one has `{}` already", first.name), key.span())
                    .help("make it two steps"),
            );
            return None;
        }
    };
    read_verb(verb, span, &entries, reader)
}

fn read_verb(
    verb: &'static Verb,
    span: std::ops::Range<usize>,
    entries: &[Entry<'_>],
    reader: &mut Reader<'_>,
) -> Option<Step> {
    let before = reader.mistakes.len();
    let mut fields = Fields::default();
    let mut rows: Vec<(&'static CheckRow, &Entry<'_>)> = Vec::new();
    // The verb's own value first: it says what the other keys are about.
    let (own, others): (Vec<&Entry<'_>>, Vec<&Entry<'_>>) =
        entries.iter().partition(|(key, _)| key.get_ref() == verb.name);
    for (_, value) in own {
        if let Some(value) = reader.read(verb.value, value) {
            fields.insert(verb.name, value);
        }
    }
    for entry in others {
        let (key, value) = entry;
        if let Some(row) = verb.keys.iter().find(|row| row.name == key.get_ref()) {
            if let Some(value) = reader.read(row.value, value) {
                fields.insert(row.name, value);
            }
        } else if let Some(row) = CHECKS.iter().find(|row| verb.name == "expect" && row.name == key.get_ref()) {
            rows.push((row, entry));
        } else {
            let checks = CHECKS.iter().filter(|_| verb.name == "expect").map(|row| row.name);
            let known: Vec<&str> = checks.chain(verb.keys.iter().map(|row| row.name)).collect();
            reader.wrong(
                Mistake::new(format!("`{}` takes no key `{}`", verb.name, key.get_ref()), key.span())
                    .help(suggest(key.get_ref(), known)),
            );
        }
    }
    for row in verb.keys.iter().filter(|row| row.required && !entries.iter().any(|(key, _)| key.get_ref() == row.name))
    {
        reader.wrong(
            Mistake::new(format!("`{}` wants the key `{}`", verb.name, row.name), span.clone())
                .label(row.about)
                .help(format!("for example: {}", verb.example)),
        );
    }
    implicit_name(verb, &fields_role(entries), entries, reader);
    conflicting_times(entries, reader);
    let mut action = if reader.mistakes.len() == before { (verb.build)(&mut fields, reader.scope) } else { None };
    if action.is_none() {
        declare(verb.name, verb.name, entries, reader);
    }
    if let Some(Action::Expect { targets, checks, .. }) = &mut action {
        *checks = rows.iter().filter_map(|(row, entry)| read_check(row, entry, targets, reader)).collect();
        if rows.is_empty() {
            reader.wrong(
                Mistake::new("this `expect` states nothing", span.clone())
                    .help(format!("for example: {}", verb.example)),
            );
        }
    }
    Some(Step { span, action: action? })
}

/// Makes the names of a step known although it is wrong: that they are unknown would be no mistake of later steps.
fn declare(verb: &str, key: &str, entries: &[Entry<'_>], reader: &mut Reader<'_>) {
    let value =
        |wanted: &str| entries.iter().find(|(key, _)| key.get_ref() == wanted).map(|(_, value)| value.get_ref());
    let meaning = match verb {
        "start" => Meaning::Program,
        "connect" | "accept" => Meaning::Peer,
        "listen" => Meaning::Listener,
        _ => return,
    };
    let named = value("as").filter(|_| verb == "start").or_else(|| value(key));
    for name in named.map(names_in).unwrap_or_default() {
        if reader.scope.taken(&name).is_none() {
            reader.scope.add(&name, meaning);
        }
    }
}

fn fields_role(entries: &[Entry<'_>]) -> Option<String> {
    let (_, value) = entries.iter().find(|(key, _)| key.get_ref() == "start")?;
    value.get_ref().as_str().map(str::to_owned)
}

/// A program without `as` is called as its role is; a second one needs a name of its own.
fn implicit_name(verb: &Verb, role: &Option<String>, entries: &[Entry<'_>], reader: &mut Reader<'_>) {
    let named = entries.iter().any(|(key, _)| key.get_ref() == "as");
    let (Some(role), false, "start") = (role, named, verb.name) else { return };
    if reader.scope.taken(role).is_some() {
        let span = entries[0].0.span();
        reader.wrong(
            Mistake::new(format!("there is a program called `{role}` already"), span)
                .help(format!("give this one a name: {{ start = \"{role}\", as = \"second\" }}")),
        );
    }
}

fn conflicting_times(entries: &[Entry<'_>], reader: &mut Reader<'_>) {
    let times: Vec<&Entry<'_>> =
        entries.iter().filter(|(key, _)| matches!(key.get_ref().as_ref(), "within" | "for" | "now")).collect();
    if let [first, second, ..] = times.as_slice()
        && entries.iter().any(|(key, _)| key.get_ref() == "expect")
    {
        reader.wrong(
            Mistake::new(
                format!("`{}` and `{}` exclude each other", first.0.get_ref(), second.0.get_ref()),
                second.0.span(),
            )
            .help("one `expect` is looked at in one way; make it two steps"),
        );
    }
}

fn read_check(row: &'static CheckRow, entry: &Entry<'_>, targets: &[Target], reader: &mut Reader<'_>) -> Option<Check> {
    let (key, value) = entry;
    let unfit = targets.iter().find(|target| {
        !matches!(
            (row.on, target),
            (On::Peer | On::Endpoint, Target::Peer(_))
                | (On::Program | On::Process | On::Endpoint, Target::Program(_))
                | (On::Process, Target::Handler(_) | Target::Children(_))
        )
    });
    if let Some(target) = unfit {
        let fitting = |row: &&CheckRow| match target {
            Target::Peer(_) => matches!(row.on, On::Peer | On::Endpoint),
            Target::Program(_) => row.on != On::Peer,
            Target::Handler(_) | Target::Children(_) => row.on == On::Process,
        };
        let known: Vec<String> = CHECKS.iter().filter(fitting).map(|row| format!("`{}`", row.name)).collect();
        reader.wrong(
            Mistake::new(format!("`{}` is not observed on `{target}`", row.name), key.span())
                .label(format!("it is observed on {}", row.on.describe()))
                .help(format!("on `{target}` there is {}", known.join(", "))),
        );
        return None;
    }
    let read: Value = reader.read(row.value, value)?;
    if let (Kind::Words, Value::Words(words)) = (row.value, &read)
        && words.is_empty()
    {
        reader.wrong(Mistake::new("an empty list", value.span()).label("nothing could satisfy it"));
        return None;
    }
    if let (On::Program, Kind::Words, Value::Words(words)) = (row.on, row.value, &read)
        && words.iter().any(|word| word.trim().is_empty())
    {
        reader.wrong(Mistake::new("an empty text", value.span()).label("anything would satisfy it"));
        return None;
    }
    if let Value::CountOrBaseline(CountOrBaseline::Baseline) = read
        && let Some(target) = targets.iter().find(|target| !reader.scope.has_baseline(target))
    {
        reader.wrong(
            Mistake::new(format!("there is no baseline of `{target}` at this step"), value.span())
                .help("an earlier step has to take it: { baseline = \"server\" }; only programs have one"),
        );
        return None;
    }
    let mut fields = Fields::default();
    fields.insert(row.name, read);
    Some(Check { span: key.span().start..value.span().end, kind: (row.build)(&mut fields)? })
}
