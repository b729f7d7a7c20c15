//! What a scenario needs of a subject: it follows from the verbs that it uses, and from `models`.

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
}

/// Whether a scenario applies to a server of this model; an unknown model never excludes anything.
pub fn applies(scenario: &Scenario, model: Option<Model>) -> Result<(), NotApplicable> {
    let Some(model) = model else { return Ok(()) };
    if let Some(models) = &scenario.models
        && !models.contains(&model)
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
