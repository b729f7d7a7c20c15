//! A stage that is killed in the middle of a run: every report is whole, and says so.

use std::io::Read;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quick_junit::Report;
use serde_json::Value;

use crate::common::processes::MarkedRun;
use crate::common::{files, folder, path, root, text};

/// The stages themselves: children of the command, and not what they have started.
fn stages(run: &MarkedRun) -> Vec<i32> {
    let parent = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        rest.split(' ').nth(1).and_then(|word| word.parse::<i32>().ok())
    };
    run.processes().into_iter().filter(|pid| parent(pid) == Some(run.pid().as_raw())).collect()
}

#[test]
fn reports_are_whole_when_a_stage_is_killed() {
    let folder = folder();
    let file = |name: &str| path(&folder.path().join(name));
    let reports = ["json", "junit", "tap", "github"].map(|name| format!("--report={name}={}", file(name)));
    let mut words = vec!["run", "--jobs", "1", "--repeat", "20", "termination"];
    words.extend(reports.iter().map(String::as_str));
    let mut run = MarkedRun::start(&words);
    // The probe has two clients: with more the plays have begun.
    assert!(run.until(|run| run.programs().len() >= 5), "no play was seen");
    let stages = stages(&run);
    assert!(!stages.is_empty());
    for pid in stages {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it can be killed");
    }
    let mut said = String::new();
    run.child.stdout.take().expect("it is piped").read_to_string(&mut said).expect("it can be read");
    let status = run.child.wait().expect("it can be waited for");
    assert_eq!(status.code(), Some(3), "{said}");

    let read = |name: &str| std::fs::read_to_string(file(name)).expect("it is there");
    let document: Value = serde_json::from_str(&read("json")).expect("it is whole");
    let all = files(&root().join("scenarios/termination"), "toml").len();
    assert_eq!(document["scenarios"].as_array().map(Vec::len), Some(all));
    assert_eq!((&document["summary"]["error"], &document["summary"]["fail"]), (&1.into(), &0.into()), "{document:#}");
    let lost = document["scenarios"].as_array().into_iter().flatten().find(|one| one["verdict"] == "error");
    let lost = lost.expect("it was counted");

    let junit = Report::deserialize_from_str(&read("junit")).expect("it is whole");
    assert_eq!((junit.tests, junit.errors, junit.failures), (all, 1, 0));
    let tap = read("tap");
    assert_eq!(tap.lines().filter(|line| line.starts_with("ok ") || line.starts_with("not ok ")).count(), all, "{tap}");
    assert!(tap.contains("\n  severity: error\n") && tap.ends_with("  ...\n"), "{tap}");
    let github = read("github");
    let annotation = format!("::error title={} was not judged (", text(&lost["id"]));
    assert!(github.lines().last().is_some_and(|line| line.starts_with(&annotation)), "{github}");
    run.assert_gone("a killed stage");
}
