//! The isolations: each gives the same verdicts, and what is refused is stepped down from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use nix::unistd::Uid;
use rstest::rstest;

/// A user without privileges, by number.
const NOBODY: u32 = 65534;

/// A copy of the command where every user can get at it; one for all tests, since a file that is being written while
/// another thread forks cannot be executed.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn shared() -> &'static Copy {
        static COPY: OnceLock<Copy> = OnceLock::new();
        COPY.get_or_init(Copy::new)
    }

    fn new() -> Copy {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = Copy { folder };
        fs::copy(env!("CARGO_BIN_EXE_forkspec"), copy.path()).unwrap();
        copy
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("forkspec")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.path());
        command.current_dir(self.folder.path());
        command.args(["--report", "json", "termination", "crash/killed-handler-ends-its-connection-only"]);
        command
    }
}

fn judge(output: &Output) -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    for scenario in report["scenarios"].as_array().unwrap() {
        assert!(matches!(scenario["verdict"].as_str(), Some("pass" | "skip")), "{scenario:#}");
    }
    assert!(report["summary"]["pass"].as_u64() >= Some(5), "{report:#}");
    assert_eq!(output.status.code(), Some(0));
    report
}

#[rstest]
#[case("user-namespace")]
#[case("shared-proc")]
#[case("root")]
#[case("none")]
fn every_isolation_gives_the_same_verdicts(#[case] isolation: &str) {
    let output = Copy::shared().command().args(["--isolation", isolation]).output().unwrap();
    if output.status.code() == Some(3) {
        // The environment of the tests refuses it; what matters then is that it is said, and not taken for a verdict.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("this environment cannot run it") && said.contains(isolation), "{said}");
        assert_ne!(isolation, "none", "plain processes are never refused");
        return;
    }
    assert_eq!(judge(&output)["environment"]["isolation"], isolation);
}

#[test]
fn an_ordinary_user_needs_no_privileges() {
    let mut command = Copy::shared().command();
    if Uid::effective().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().or_else(|error| match error.kind() {
        // In a user namespace that has one user alone, its root is an ordinary user outside.
        std::io::ErrorKind::InvalidInput => Copy::shared().command().output(),
        _ => Err(error),
    });
    judge(&output.unwrap());
}

/// To deny namespaces takes namespaces, which are Linux's.
#[cfg(target_os = "linux")]
mod denied {
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::resource::{Resource, setrlimit};
    use nix::unistd::{getegid, geteuid};

    use super::*;

    #[test]
    fn where_namespaces_are_denied_plain_processes_are_used() {
        let mut command = Copy::shared().command();
        // A user namespace in which no other one can be made, entered as a user without privileges.
        let (user, group) = (geteuid(), getegid());
        // SAFETY: the closure runs in the forked child; it makes system calls, and allocates, which glibc allows there.
        unsafe {
            command.pre_exec(move || {
                unshare(CloneFlags::CLONE_NEWUSER)?;
                fs::write("/proc/self/setgroups", "deny")?;
                fs::write("/proc/self/uid_map", format!("1000 {user} 1"))?;
                fs::write("/proc/self/gid_map", format!("1000 {group} 1"))?;
                fs::write("/proc/sys/user/max_user_namespaces", "0")
            });
        }
        match command.output() {
            Ok(output) => assert_eq!(judge(&output)["environment"]["isolation"], "none"),
            // They are denied already: then the test above has used plain processes.
            Err(error) => {
                let denied = [std::io::ErrorKind::PermissionDenied, std::io::ErrorKind::StorageFull];
                assert!(denied.contains(&error.kind()), "{error}");
            }
        }
    }

    /// A fork that this machine refuses is no mistake of the server's.
    #[test]
    fn where_processes_are_few_a_failure_is_not_believed() {
        let mut command = Command::new(Copy::shared().path());
        command.current_dir(Copy::shared().folder.path());
        command.args(["--report", "json", "--server", "true", "startup/server-listens"]);
        if Uid::effective().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let few = || Ok(setrlimit(Resource::RLIMIT_NPROC, 500, 500)?);
        // SAFETY: the closure runs in the forked child and makes a system call.
        unsafe { command.pre_exec(few) };
        let output = match command.output() {
            // In a user namespace there may be no other user, and then the machine's root may be bound by nothing.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => return,
            output => output.expect("500 processes are enough for this"),
        };
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(output.status.code(), Some(3), "{report:#}");
        assert_eq!(report["scenarios"][0]["verdict"], "error");
        let reason = report["scenarios"][0]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("exited with status 0") && reason.contains("ulimit -u"), "{reason}");
    }
}
