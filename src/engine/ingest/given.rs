//! Variables that the user set for a replay: nothing of it is known to be what the run would have logged.

use crate::model::plan::RunPlan;

/// What the values of a run's replay rely on.
///
/// A path that moved leads to the run's data, and yet its length, its last part and whatever was made of them are others: no
/// comparison with what the run logged tells which of the added values follow from it.
pub(super) fn relied_on(plan: &RunPlan) -> Vec<String> {
    let given = plan.environment.iter().flat_map(|environment| &environment.given);
    let changed = given.filter(|given| given.recorded.as_ref() != Some(&given.value));
    changed.map(|given| format!("rely on {}, which --env sets", given.name)).collect()
}
