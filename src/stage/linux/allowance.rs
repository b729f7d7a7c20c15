//! How many processes this machine lets a run have. Where they are too few, fork fails for no fault of a subject's.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;

/// What a run may have.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    /// The files that count how often a limit of our control groups was hit.
    counters: Vec<PathBuf>,
    /// How many more processes RLIMIT_NPROC allowed when it was looked at; `None`: it does not bind us, or allows many.
    left: Option<u64>,
}

/// With so many processes the standard suite never comes near a limit.
const PLENTY: u64 = 512;

impl Allowance {
    /// What this process, and so what it starts, may have.
    pub fn here() -> Allowance {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let counters = groups.lines().filter_map(folder).flat_map(|(top, group)| counters(&top, &group)).collect();
        Allowance { counters, left: left().filter(|left| *left < PLENTY) }
    }

    /// How often fork was refused by a control group so far, to anybody in it.
    pub fn refused(&self) -> u64 {
        self.counters.iter().filter_map(|file| hits(&fs::read_to_string(file).ok()?)).sum()
    }

    /// Why a failure is not to be believed, if `refused` was `before` when the play began.
    pub fn doubt(&self, before: u64) -> Option<String> {
        if self.refused() != before {
            return Some("the limit of processes of this machine's control group (pids.max) was hit".into());
        }
        let left = self.left?;
        Some(format!("the user's limit of processes (RLIMIT_NPROC, ulimit -u) leaves {left}, and {PLENTY} are plenty"))
    }
}

/// Where the control group of a line of `/proc/self/cgroup` is mounted, if it can count processes: version 2 has one tree
/// for all, version 1 one for processes (cgroups(7)).
fn folder(line: &str) -> Option<(PathBuf, String)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let top = match controllers {
        "" if number == "0" => "/sys/fs/cgroup",
        _ if controllers.split(',').any(|controller| controller == "pids") => "/sys/fs/cgroup/pids",
        _ => return None,
    };
    Some((top.into(), path.trim_start_matches('/').to_owned()))
}

/// The counters of a group and of those above it that have a limit. In a container the group's own folder can be mounted
/// as the top one.
fn counters(top: &Path, group: &str) -> Vec<PathBuf> {
    let own = top.join(group);
    let folders = own.ancestors().take_while(|folder| folder.starts_with(top));
    let limited = folders.filter(|folder| {
        fs::read_to_string(folder.join("pids.max")).is_ok_and(|most| most.trim().parse::<u64>().is_ok())
    });
    // The local file, where there is one, counts the hits of this limit alone.
    let file = |folder: &Path| {
        ["pids.events.local", "pids.events"].map(|name| folder.join(name)).into_iter().find(|file| file.exists())
    };
    limited.filter_map(file).collect()
}

/// The number in the line `max 3`.
fn hits(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok())
}

/// How many more processes and threads the user may have.
fn left() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NPROC).ok()?;
    // It does not bind the machine's root. Counting takes a while, so not where it allows very many.
    let own = Uid::current();
    if soft > u64::from(u16::MAX) || (own.is_root() && is_root_of_the_machine()) {
        return None;
    }
    let tasks = |status: String| {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        let is_ours = field("Uid:")? == own.to_string();
        if is_ours { field("Threads:")?.parse::<u64>().ok() } else { None }
    };
    let statuses = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path().join("status"));
    let used: u64 = statuses.filter_map(|file| tasks(fs::read_to_string(file).ok()?)).sum();
    Some(soft.saturating_sub(used))
}

/// Whether user 0 is user 0 outside too (user_namespaces(7)).
fn is_root_of_the_machine() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().take(2).eq(["0", "0"])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::version_2("0::/user.slice/a", Some(("/sys/fs/cgroup", "user.slice/a")))]
    #[case::version_1("8:pids:/docker/1", Some(("/sys/fs/cgroup/pids", "docker/1")))]
    #[case::several_controllers("8:cpu,pids:/", Some(("/sys/fs/cgroup/pids", "")))]
    #[case::another_controller("2:cpuacct:/", None)]
    #[case::named_tree("9:name=systemd:/", None)]
    fn the_group_of_processes_is_found(#[case] line: &str, #[case] wanted: Option<(&str, &str)>) {
        assert_eq!(folder(line), wanted.map(|(top, group)| (top.into(), group.into())));
    }

    /// A tree like that of version 2, below a folder.
    fn tree(groups: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let top = tempfile::tempdir().expect("a folder");
        for (group, most, events) in groups {
            let folder = top.path().join(group);
            fs::create_dir_all(&folder).expect("it can be made");
            fs::write(folder.join("pids.max"), most).expect("it can be written");
            fs::write(folder.join("pids.events"), events).expect("it can be written");
        }
        top
    }

    #[test]
    fn limits_of_the_groups_above_count() {
        let top = tree(&[("a", "100\n", "max 2\n"), ("a/b", "max\n", "max 9\n"), ("a/b/c", "20\n", "max 1\n")]);
        fs::write(top.path().join("a/pids.events.local"), "max 1\n").expect("it can be written");
        let counters = counters(top.path(), "a/b/c");
        assert_eq!(counters, ["a/b/c/pids.events", "a/pids.events.local"].map(|file| top.path().join(file)));
        let allowance = Allowance { counters, left: None };
        assert_eq!(allowance.refused(), 2);
        assert_eq!(allowance.doubt(2), None);
        assert!(allowance.doubt(1).is_some_and(|why| why.contains("pids.max")));
    }

    #[test]
    fn few_processes_are_a_reason_to_doubt() {
        let allowance = Allowance { left: Some(60), ..Allowance::default() };
        assert!(allowance.doubt(0).is_some_and(|why| why.contains("ulimit -u") && why.contains("60")));
    }
}
