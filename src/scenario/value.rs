//! The kinds of value that a key can take: how each is read, and how each is described.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::action::{CountOrBaseline, ExitStatus, Limits, Span};
use super::mistake::{Mistake, nearest, suggest};
use super::payload::{self, Form, Payload};
use super::scope::Scope;

/// The kind of value that a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `server` or `client`.
    Role,
    /// A name that the step makes.
    NewName,
    /// Names of peers that the step makes: one, a list, or a range `c1..c5`.
    NewPeers,
    /// Names of peers.
    Peers,
    /// The name of a listening socket that a `listen` step made.
    Listener,
    /// The name of one program.
    Program,
    /// Names of programs.
    Programs,
    /// Programs, `PEER.handler`, `PROGRAM.children`.
    Processes,
    /// Peers or processes.
    Targets,
    /// `listener`, or peers whose connection is meant.
    Sockets,
    /// Text or a table that states bytes.
    Payload,
    /// One string.
    Text,
    /// A time such as `"500ms"`.
    Time,
    /// An IP address.
    Address,
    /// `true` or `false`.
    Flag,
    /// `true`.
    True,
    /// A whole number from 0.
    Count,
    /// Strings.
    Words,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words or a list of them.
    SomeOf(&'static [&'static str]),
    /// `{ descriptors = 16, processes = 20 }`.
    Limits,
    /// A number or `"baseline"`.
    CountOrBaseline,
    /// A number from 0 to 255 or `"nonzero"`.
    ExitStatus,
}

/// A value that has been read.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "named as their kinds are")]
pub enum Value {
    Names(Vec<String>),
    Payload(Payload),
    Time(Duration),
    Flag(bool),
    Count(u64),
    Words(Vec<String>),
    Limits(Limits),
    CountOrBaseline(CountOrBaseline),
    ExitStatus(ExitStatus),
}

impl Kind {
    /// What the kind is, for a reader of the reference page or of a message.
    pub fn describe(self) -> String {
        match self {
            Kind::Role => "`\"server\"` or `\"client\"`".into(),
            Kind::NewName => "a new name".into(),
            Kind::NewPeers => "new names: `\"c1\"`, `[\"c1\", \"c2\"]` or `\"c1..c5\"`".into(),
            Kind::Peers => "peers: `\"c1\"`, `[\"c1\", \"c2\"]` or `\"c1..c5\"`".into(),
            Kind::Listener => "a name that `listen` made".into(),
            Kind::Program => "a program".into(),
            Kind::Programs => "one or several programs".into(),
            Kind::Processes => "programs, `\"c1.handler\"`, `\"server.children\"`, or a list of them".into(),
            Kind::Targets => "a peer, a program, `\"c1.handler\"`, `\"server.children\"`, or several".into(),
            Kind::Sockets => "`\"listener\"`, a peer whose connection is meant, or a list".into(),
            Kind::Payload => {
                "text, `{ hex = \"00ff\" }`, `{ pattern = \"1MiB\" }`, `{ lines = 1000 }` or `{ text = \"x\", times = 9 }`"
                    .into()
            }
            Kind::Text => "a string".into(),
            Kind::Time => "a time: `\"500ms\"`, `\"2s\"`".into(),
            Kind::Address => "an IP address: `\"127.0.0.1\"`".into(),
            Kind::Flag => "`true` or `false`".into(),
            Kind::True => "`true`".into(),
            Kind::Count => "a whole number".into(),
            Kind::Words => "a string or a list of strings".into(),
            Kind::OneOf(words) => quoted(words, " or "),
            Kind::SomeOf(words) => format!("{}, or a list", quoted(words, ", ")),
            Kind::Limits => "`{ descriptors = 16, processes = 20 }`".into(),
            Kind::CountOrBaseline => "a whole number or `\"baseline\"`".into(),
            Kind::ExitStatus => "a status from 0 to 255, or `\"nonzero\"`".into(),
        }
    }
}

fn quoted(words: &[&str], joint: &str) -> String {
    words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(joint)
}

/// Reads values, gathering mistakes instead of stopping at the first.
pub struct Reader<'s> {
    /// The names that the steps so far have made.
    pub scope: &'s mut Scope,
    /// What was wrong so far.
    pub mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    /// Notes a mistake.
    pub fn wrong(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Reads a value of a kind; `None` when it is wrong, and the mistake is noted.
    pub fn read(&mut self, kind: Kind, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let span = value.span();
        match kind {
            Kind::Role => self.one_of(value, &["server", "client"]).map(|word| Value::Names(vec![word])),
            Kind::NewName => {
                let name = self.text(value)?;
                self.check_name(&name, &span).then(|| Value::Names(vec![name]))
            }
            Kind::NewPeers => {
                let names = self.names(value)?;
                if let Some((_, twice)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name))
                {
                    self.wrong(Mistake::new(format!("the name `{twice}` is there twice"), span));
                    return None;
                }
                names.iter().all(|name| self.check_name(name, &span)).then_some(Value::Names(names))
            }
            Kind::Peers
            | Kind::Listener
            | Kind::Program
            | Kind::Programs
            | Kind::Processes
            | Kind::Targets
            | Kind::Sockets => {
                let names = match kind {
                    Kind::Listener | Kind::Program => vec![self.text(value)?],
                    _ => self.names(value)?,
                };
                let mut known = true;
                for name in &names {
                    if let Err(mistake) = self.scope.resolve(kind, name, span.clone()) {
                        self.wrong(mistake);
                        known = false;
                    }
                }
                known.then_some(Value::Names(names))
            }
            Kind::Payload => self.payload(value).map(Value::Payload),
            Kind::Text => self.text(value).map(|word| Value::Words(vec![word])),
            Kind::Time => self.time(value).map(Value::Time),
            Kind::Address => match value.get_ref().as_str() {
                Some(text) if text.parse::<std::net::IpAddr>().is_ok() => Some(Value::Words(vec![text.to_owned()])),
                _ => self.unfit(kind, value),
            },
            Kind::Flag => match value.get_ref() {
                DeValue::Boolean(flag) => Some(Value::Flag(*flag)),
                _ => self.unfit(kind, value),
            },
            Kind::True => match value.get_ref() {
                DeValue::Boolean(true) => Some(Value::Flag(true)),
                _ => self.unfit(kind, value),
            },
            Kind::Count => match integer(value) {
                Some(count) => Some(Value::Count(count)),
                None => self.unfit(kind, value),
            },
            Kind::Words => self.words(value).map(Value::Words),
            Kind::OneOf(words) => self.one_of(value, words).map(|word| Value::Words(vec![word])),
            Kind::SomeOf(words) => self.some_of(value, words).map(Value::Words),
            Kind::Limits => self.limits(value).map(Value::Limits),
            Kind::CountOrBaseline => match (integer(value), value.get_ref().as_str()) {
                (Some(count), _) => Some(Value::CountOrBaseline(CountOrBaseline::Count(count))),
                (_, Some("baseline")) => Some(Value::CountOrBaseline(CountOrBaseline::Baseline)),
                _ => self.unfit(kind, value),
            },
            Kind::ExitStatus => match (integer(value).map(u8::try_from), value.get_ref().as_str()) {
                (Some(Ok(code)), _) => Some(Value::ExitStatus(ExitStatus::Code(code))),
                (_, Some("nonzero")) => Some(Value::ExitStatus(ExitStatus::NonZero)),
                _ => self.unfit(kind, value),
            },
        }
    }

    fn unfit<T>(&mut self, kind: Kind, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let found = value.get_ref().type_str();
        self.wrong(
            Mistake::new(format!("this {found} does not fit"), value.span())
                .label(format!("wants {}", kind.describe())),
        );
        None
    }

    fn text(&mut self, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) => Some(text.to_owned()),
            None => self.unfit(Kind::Text, value),
        }
    }

    fn words(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
        match value.get_ref() {
            DeValue::Array(items) => {
                let words: Vec<_> = items.iter().map(|item| self.text(item)).collect();
                words.into_iter().collect()
            }
            DeValue::String(word) => Some(vec![word.clone().into_owned()]),
            _ => self.unfit(Kind::Words, value),
        }
    }

    fn names(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for word in self.words(value)? {
            match expand(&word) {
                Ok(expanded) => names.extend(expanded),
                Err(why) => {
                    self.wrong(Mistake::new(format!("`{word}` is not a range of names"), value.span()).label(why));
                    return None;
                }
            }
        }
        if names.is_empty() {
            self.wrong(Mistake::new("an empty list of names", value.span()).label("wants at least one name"));
            return None;
        }
        Some(names)
    }

    fn check_name(&mut self, name: &str, span: &Span) -> bool {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !plain {
            self.wrong(
                Mistake::new(format!("`{name}` cannot be a name"), span.clone())
                    .label("a name is a letter, then letters, digits, `-` or `_`"),
            );
            return false;
        }
        if name == "listener" {
            self.wrong(
                Mistake::new("`listener` cannot be a name", span.clone())
                    .label("`holds` and `lacks` call the listening socket so"),
            );
            return false;
        }
        if let Some(what) = self.scope.taken(name) {
            self.wrong(
                Mistake::new(format!("the name `{name}` is taken"), span.clone())
                    .label(format!("it is {what} already")),
            );
            return false;
        }
        true
    }

    fn one_of(&mut self, value: &Spanned<DeValue<'_>>, words: &'static [&'static str]) -> Option<String> {
        let Some(word) = value.get_ref().as_str() else { return self.unfit(Kind::OneOf(words), value) };
        let word = word.to_owned();
        if words.contains(&word.as_str()) {
            return Some(word);
        }
        let mut mistake = Mistake::new(format!("`{word}` is not a value of this key"), value.span())
            .label(format!("wants {}", quoted(words, " or ")));
        let known = words.iter().copied();
        // `SIGTERM` for `TERM`, `established` for `ESTABLISHED`.
        let capitals = word.to_uppercase();
        let meant = nearest(&word, known.clone()).or_else(|| nearest(capitals.trim_start_matches("SIG"), known));
        if let Some(meant) = meant {
            mistake = mistake.help(format!("did you mean `{meant}`?"));
        }
        self.wrong(mistake);
        None
    }

    fn some_of(&mut self, value: &Spanned<DeValue<'_>>, words: &'static [&'static str]) -> Option<Vec<String>> {
        match value.get_ref() {
            DeValue::Array(items) if !items.is_empty() => {
                let found: Vec<_> = items.iter().map(|item| self.one_of(item, words)).collect();
                found.into_iter().collect()
            }
            DeValue::Array(_) => {
                self.wrong(Mistake::new("an empty list", value.span()).label("nothing could satisfy it"));
                None
            }
            _ => self.one_of(value, words).map(|word| vec![word]),
        }
    }

    fn time(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Duration> {
        let Some(text) = value.get_ref().as_str() else { return self.unfit(Kind::Time, value) };
        let parsed = parse_time(text).filter(|time| !time.is_zero() && *time <= Duration::from_secs(60));
        if parsed.is_none() {
            self.wrong(
                Mistake::new(format!("`{text}` is not a time"), value.span())
                    .label("wants a number of `ms` or `s`, above zero and at most `60s`: `500ms`, `2s`"),
            );
        }
        parsed
    }

    fn limits(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Limits> {
        let Some(table) = value.get_ref().as_table() else { return self.unfit(Kind::Limits, value) };
        let mut limits = Limits::default();
        for (key, value) in table {
            let Some(count) = integer(value) else { return self.unfit(Kind::Count, value) };
            match key.get_ref().as_ref() {
                "descriptors" => limits.descriptors = Some(count),
                "processes" => limits.processes = Some(count),
                other => {
                    self.wrong(
                        Mistake::new(format!("no limit is called `{other}`"), key.span())
                            .help(suggest(other, ["descriptors", "processes"])),
                    );
                    return None;
                }
            }
        }
        Some(limits)
    }

    fn payload(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Payload> {
        let table = match value.get_ref() {
            DeValue::String(text) => return Some(Form::Bytes(text.as_bytes().to_vec()).into()),
            DeValue::Table(table) => table,
            _ => return self.unfit(Kind::Payload, value),
        };
        let get = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
        let allowed: &[&str] = match (get("hex"), get("pattern"), get("lines"), get("text")) {
            (Some(_), ..) => &["hex"],
            (_, Some(_), ..) => &["pattern"],
            (_, _, Some(_), _) => &["lines", "width"],
            (.., Some(_)) => &["text", "times"],
            _ => return self.unfit(Kind::Payload, value),
        };
        if let Some((key, _)) = table.iter().find(|(key, _)| !allowed.contains(&key.get_ref().as_ref())) {
            self.wrong(
                Mistake::new(format!("`{}` does not go with `{}`", key.get_ref(), allowed[0]), key.span())
                    .label(format!("wants {}", Kind::Payload.describe())),
            );
            return None;
        }
        let stated = get(allowed[0])?;
        match allowed[0] {
            "hex" => {
                let text = self.text(stated)?;
                match parse_hex(&text) {
                    Some(bytes) => Some(Form::Bytes(bytes).into()),
                    None => {
                        self.wrong(
                            Mistake::new("not hexadecimal", stated.span())
                                .label("wants pairs of hexadecimal digits; spaces between pairs are allowed"),
                        );
                        None
                    }
                }
            }
            "text" => {
                let text = self.text(stated)?;
                let times = match get("times") {
                    Some(times) => match integer(times) {
                        Some(count) => self.size(count, times.span())?,
                        None => return self.unfit(Kind::Count, times),
                    },
                    None => 1,
                };
                self.size((text.len() as u64).saturating_mul(times as u64), value.span())?;
                Some(Form::Bytes(text.as_bytes().repeat(times)).into())
            }
            "pattern" => {
                let count = integer(stated).or_else(|| stated.get_ref().as_str().and_then(parse_size));
                match count {
                    Some(count) => Some(Form::Pattern(self.size(count, stated.span())?).into()),
                    None => {
                        self.wrong(
                            Mistake::new("not a number of bytes", stated.span())
                                .label("wants `4096`, `\"64KiB\"`, `\"1MiB\"`"),
                        );
                        None
                    }
                }
            }
            _ => match integer(stated) {
                // The longest line has eleven bytes more than its number has digits; 16 is more than any has here.
                Some(count) => {
                    let width = match get("width") {
                        Some(stated) => match integer(stated) {
                            Some(width) => self.size(width, stated.span())?,
                            None => return self.unfit(Kind::Count, stated),
                        },
                        None => 0,
                    };
                    self.size(count.saturating_mul(width.max(16) as u64), stated.span())?;
                    Some(Form::Lines(count as usize, width).into())
                }
                None => self.unfit(Kind::Count, stated),
            },
        }
    }

    fn size(&mut self, count: u64, span: Span) -> Option<usize> {
        match usize::try_from(count) {
            Ok(count) if count <= payload::LARGEST => Some(count),
            _ => {
                self.wrong(Mistake::new("too large", span).label("a payload has at most 64 MiB"));
                None
            }
        }
    }
}

/// The names that a value states, as far as it states any.
pub fn names_in(value: &DeValue<'_>) -> Vec<String> {
    let words: Vec<&str> = match value {
        DeValue::String(word) => vec![word.as_ref()],
        DeValue::Array(items) => items.iter().filter_map(|item| item.get_ref().as_str()).collect(),
        _ => Vec::new(),
    };
    words.into_iter().filter_map(|word| expand(word).ok()).flatten().collect()
}

fn integer(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let number = value.get_ref().as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn parse_time(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match (text.strip_suffix("MiB"), text.strip_suffix("KiB")) {
        (Some(number), _) => (number, 1 << 20),
        (_, Some(number)) => (number, 1 << 10),
        _ => (text, 1),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// `c1..c5` → c1, c2, c3, c4, c5; a suffix such as `.handler` goes to each; a plain name is itself.
fn expand(word: &str) -> Result<Vec<String>, String> {
    let Some((from, to)) = word.split_once("..") else { return Ok(vec![word.to_owned()]) };
    let (to, suffix) = match to.find('.') {
        Some(dot) => to.split_at(dot),
        None => (to, ""),
    };
    let split = |name: &str| -> Option<(String, u32)> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        Some((stem.to_owned(), name[stem.len()..].parse().ok()?))
    };
    let (Some((stem, first)), Some((other, last))) = (split(from), split(to)) else {
        return Err("both ends of a range end in a number: `c1..c5`".into());
    };
    if stem != other || first > last || last - first >= 10_000 {
        return Err(
            "both ends have the same letters, the second number is not smaller, and there are at most 10000".into()
        );
    }
    Ok((first..=last).map(|number| format!("{stem}{number}{suffix}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_and_keep_their_suffix() {
        assert_eq!(expand("c1").unwrap(), ["c1"]);
        assert_eq!(expand("c9..c11").unwrap(), ["c9", "c10", "c11"]);
        assert_eq!(expand("c1..c2.handler").unwrap(), ["c1.handler", "c2.handler"]);
        assert!(expand("c1..d2").is_err());
        assert!(expand("c3..c1").is_err());
        assert!(expand("a..b").is_err());
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(parse_time("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_time("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse_time("2"), None);
        assert_eq!(parse_size("64KiB"), Some(65536));
        assert_eq!(parse_size("10"), Some(10));
        assert_eq!(parse_hex("00 fF"), Some(vec![0, 255]));
        assert_eq!(parse_hex("0"), None);
    }
}
