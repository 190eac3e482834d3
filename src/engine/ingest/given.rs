//! Which values of a replay show a variable that the user set for it, and so are not what the run would have logged.

use crate::model::plan::{GivenVariable, RunPlan};
use crate::model::value::Value;

/// A shorter text stands in others by chance.
const TELLING: usize = 3;

/// The variable whose value is in this one, if it is not what the run had.
pub(super) fn shown(given: &[GivenVariable], value: &Value) -> Option<String> {
    let shows = |set: &str| match value {
        Value::Text(text) | Value::Json(text) | Value::Opaque(text) => {
            text == set || set.len() >= TELLING && text.contains(set)
        }
        // Zero and one are what anything may be.
        _ => value.as_f64().is_some_and(|number| {
            (number.abs() > 1.0 || number.fract() != 0.0) && set.trim().parse().is_ok_and(|set: f64| set == number)
        }),
    };
    let set = |given: &&GivenVariable| given.value.as_deref().is_some_and(shows);
    changed(given).find(set).map(|given| relies(&given.name))
}

/// The variables of which added lines speak, or all where they ask for the environment.
pub(super) fn asked_for(plan: &RunPlan) -> Vec<String> {
    let given = plan.environment.as_ref().map(|environment| &environment.given[..]).unwrap_or_default();
    let text = plan.probed_source.as_deref().unwrap_or_default();
    let is_added = |line: u32| plan.inserted.iter().any(|(first, last)| (*first..=*last).contains(&line));
    let added: Vec<&str> = (1..).zip(text.lines()).filter(|(line, _)| is_added(*line)).map(|(_, text)| text).collect();
    let asks = added.iter().any(|line| line.contains("environ") || line.contains("getenv"));
    changed(given).filter(|_| asks).map(|given| relies(&given.name)).collect()
}

fn changed(given: &[GivenVariable]) -> impl Iterator<Item = &GivenVariable> {
    given.iter().filter(|given| given.value.is_none() || given.value != given.recorded)
}

fn relies(name: &str) -> String {
    format!("rely on {name}, which --env sets")
}
