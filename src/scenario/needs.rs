//! What a scenario needs of a subject and of the system: it follows from the verbs that it uses, and from `models`.

use std::collections::BTreeSet;

use super::action::{Action, CheckKind, Model, Role, Scarce, Scenario, Step, Target};

/// The system that forkspec runs on, as far as scenarios can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Everything can be seen.
    Linux,
    /// Most things can be seen.
    MacOs,
    /// Nothing can be seen.
    Other,
}

/// What a scenario needs of the system, beyond sockets, processes and descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// To see in which system call a process sleeps.
    SystemCalls,
    /// To change the limits of a program that runs.
    LimitsFromOutside,
    /// A limit of processes that counts the program's own, and no others of its user.
    OwnProcessLimit,
    /// Local addresses besides 127.0.0.1 and ::1.
    OtherLocalAddresses,
}

impl Need {
    /// Why it is not met on a system; `None`: it is, or it depends on the isolation and is found out by trying.
    pub fn unmet(self, platform: Platform) -> Option<&'static str> {
        match (self, platform) {
            (_, Platform::Linux | Platform::Other) => None,
            (Need::SystemCalls, Platform::MacOs) => Some("macOS does not show in which system call a process sleeps"),
            (Need::LimitsFromOutside, Platform::MacOs) => {
                Some("macOS lets nobody change the resource limits of another process")
            }
            (Need::OwnProcessLimit, Platform::MacOs) => Some(
                "on macOS the limit of processes (RLIMIT_NPROC) counts all processes of the user, not the program's alone",
            ),
            (Need::OtherLocalAddresses, Platform::MacOs) => {
                Some("127.0.0.1 and ::1 are the only addresses of macOS's loopback interface")
            }
        }
    }
}

/// Why a scenario does not apply to a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApplicable {
    /// It is about servers of other models.
    #[error("it is about servers of the model {wanted}, and this one's is {model}")]
    OtherModel {
        /// The models that it is about.
        wanted: String,
        /// The model of the subject.
        model: Model,
    },
    /// It works on handler processes, and the server has none.
    #[error("it works on the process that handles a client, and a server of the model {0} has no such process")]
    NoHandlers(Model),
    /// It is about the server's own process, and inetd's is none of the subject's.
    #[error("it is about the process that listens, and that is the runner's own when a server is launched by inetd")]
    Inetd,
    /// It is about servers that are given their connection.
    #[error("it is about servers that are executed with a connected socket (--launch inetd)")]
    NotInetd,
    /// The system does not let it be seen, or done.
    #[error("it needs what is not to be had here: {0}")]
    Unmet(&'static str),
}

/// Whether a scenario applies to a server of this model; an unknown model never excludes anything. `declared`: the model
/// was stated, not observed.
pub fn applies(
    scenario: &Scenario,
    model: Option<Model>,
    declared: bool,
    inetd: bool,
    platform: Platform,
) -> Result<(), NotApplicable> {
    if let Some(why) = needs(scenario).into_iter().find_map(|need| need.unmet(platform)) {
        return Err(NotApplicable::Unmet(why));
    }
    if scenario.launch_inetd && !inetd && scenario.tests.contains(&Role::Server) {
        return Err(NotApplicable::NotInetd);
    }
    if inetd && scenario.steps.iter().any(|step| needs_own_process(scenario, step)) {
        return Err(NotApplicable::Inetd);
    }
    let Some(model) = model else { return Ok(()) };
    // Serving clients side by side is what is asked of a server, unless its author says that it is not meant to.
    let side_by_side = |models: &BTreeSet<Model>| Model::ALL[..4].iter().all(|model| models.contains(model));
    if let Some(models) = &scenario.models
        && !models.contains(&model)
        && (declared || model != Model::Iterative || !side_by_side(models))
    {
        let wanted: Vec<String> = models.iter().map(Model::to_string).collect();
        return Err(NotApplicable::OtherModel { wanted: wanted.join(", "), model });
    }
    if !Model::WITH_HANDLERS.contains(&model) && scenario.steps.iter().any(works_on_handler) {
        return Err(NotApplicable::NoHandlers(model));
    }
    Ok(())
}

/// What a scenario needs of the system.
pub fn needs(scenario: &Scenario) -> BTreeSet<Need> {
    scenario.steps.iter().flat_map(|step| needs_of(&step.action)).collect()
}

fn needs_of(action: &Action) -> Vec<Need> {
    match action {
        Action::Start(start) if start.limits.processes.is_some() => vec![Need::OwnProcessLimit],
        Action::Exhaust { of: Scarce::Descriptors, .. } => vec![Need::LimitsFromOutside],
        Action::Exhaust { of: Scarce::Processes, .. } => vec![Need::LimitsFromOutside, Need::OwnProcessLimit],
        Action::Connect { address: Some(address), .. } if address != "127.0.0.1" && address != "::1" => {
            vec![Need::OtherLocalAddresses]
        }
        Action::Expect { checks, .. } if checks.iter().any(|check| matches!(check.kind, CheckKind::AsleepIn(_))) => {
            vec![Need::SystemCalls]
        }
        _ => Vec::new(),
    }
}

/// The programs that a scenario starts.
pub fn starts(scenario: &Scenario, role: Role) -> bool {
    scenario.steps.iter().any(|step| matches!(&step.action, Action::Start(start) if start.role == role))
}

/// Whether a step is about the process that a server is started as, beyond what the runner does in its place: it
/// listens, and it reaps.
fn needs_own_process(scenario: &Scenario, step: &Step) -> bool {
    let servers: Vec<&String> = scenario
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Start(start) if start.role == Role::Server => Some(&start.name),
            _ => None,
        })
        .collect();
    let own =
        |target: &Target| matches!(target, Target::Program(name) | Target::Children(name) if servers.contains(&name));
    match &step.action {
        Action::Start(start) => {
            servers.len() > 1 || (start.role == Role::Server && (start.args.is_some() || !start.until_listening))
        }
        Action::Baseline { program } | Action::Exhaust { program, .. } | Action::Relieve { program } => {
            servers.contains(&program)
        }
        Action::Signal { targets, .. } => targets.iter().any(own),
        Action::Expect { targets, checks, .. } => {
            let done_for_it = |kind: &CheckKind| {
                matches!(
                    kind,
                    CheckKind::Zombies(0)
                        | CheckKind::Listening(true)
                        | CheckKind::Running(true)
                        | CheckKind::Says(_)
                        | CheckKind::Names(_)
                )
            };
            let parent = checks.iter().any(|check| matches!(check.kind, CheckKind::Parent(_)));
            parent || (targets.iter().any(own) && !checks.iter().all(|check| done_for_it(&check.kind)))
        }
        _ => false,
    }
}

fn works_on_handler(step: &Step) -> bool {
    let apart = |target: &Target| matches!(target, Target::Handler(_) | Target::Children(_));
    match &step.action {
        Action::Signal { targets, .. } => targets.iter().any(apart),
        Action::Expect { targets, checks, .. } => {
            targets.iter().any(apart) && !checks.iter().all(|check| matches!(check.kind, CheckKind::AsleepIn(_)))
        }
        _ => false,
    }
}
