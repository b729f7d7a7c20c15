//! What a scenario needs of a subject: it follows from the verbs that it uses, and from `models`.

use std::collections::BTreeSet;

use super::action::{Action, CheckKind, Model, Role, Scenario, Step, Target};

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
}

/// Whether a scenario applies to a server of this model; an unknown model never excludes anything. `declared`: the model
/// was stated, not observed.
pub fn applies(scenario: &Scenario, model: Option<Model>, declared: bool, inetd: bool) -> Result<(), NotApplicable> {
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
