//! The summary of a run as its events come in.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::model::run::{RunMeta, RunStatus, RunSummary};
use crate::model::value::Value;

/// Points of a sparkline.
const SPARK_POINTS: usize = 24;
/// Samples are thinned to half when there are twice as many, so these are kept at most.
const SPARK_SAMPLES: usize = 4 * SPARK_POINTS;
/// Names whose last values are kept in the summary, which is read with every list.
const MOST_VALUES: usize = 64;

/// Evenly spaced samples of a series whose length is not known yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Spark {
    seen: u64,
    /// Every `2^thinned`-th value is kept.
    thinned: u32,
    samples: Vec<f64>,
}

impl Spark {
    pub(super) fn push(&mut self, x: f64) {
        // JSON keeps no NaN, and a sparkline draws none.
        if self.seen.trailing_zeros() >= self.thinned && x.is_finite() {
            self.samples.push(x);
        }
        self.seen += 1;
        if self.samples.len() >= SPARK_SAMPLES {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.thinned += 1;
        }
    }

    /// At most 24 of the samples, first and last included.
    pub(super) fn points(&self) -> Vec<f64> {
        let count = self.samples.len();
        if count <= SPARK_POINTS {
            return self.samples.clone();
        }
        (0..SPARK_POINTS).map(|i| self.samples[i * (count - 1) / (SPARK_POINTS - 1)]).collect()
    }
}

/// The summary of a run that has not said anything yet.
pub(super) fn empty(meta: &RunMeta) -> RunSummary {
    RunSummary {
        id: meta.id.clone(),
        name: meta.name.clone(),
        started_ms: meta.started_ms,
        duration_ms: 0,
        status: RunStatus::Lost,
        exit_code: None,
        script: meta.script.clone(),
        args: Vec::new(),
        command: meta.command(),
        version: meta.version.clone(),
        iterations: 0,
        checkpoints: 0,
        checkpoint_bytes: 0,
        names: Vec::new(),
        last_metric: None,
        last_values: BTreeMap::new(),
        spark: Vec::new(),
        notes: Vec::new(),
    }
}

/// Takes in a value that the script logged. `known` holds the summary's names.
pub(super) fn logged(
    summary: &mut RunSummary,
    known: &mut HashSet<String>,
    spark: &mut Spark,
    name: &str,
    value: &Value,
) {
    if !known.contains(name) {
        known.insert(name.to_owned());
        summary.names.push(name.to_owned());
    }
    if value.as_f64().is_some() {
        let room = summary.last_values.len() < MOST_VALUES;
        match summary.last_values.get_mut(name) {
            Some(last) => *last = value.clone(),
            None if room => drop(summary.last_values.insert(name.to_owned(), value.clone())),
            None => {}
        }
    }
    let number = match value {
        Value::Float(x) => *x,
        #[expect(clippy::cast_precision_loss, reason = "for a sparkline")]
        Value::Int(i) => *i as f64,
        _ => return,
    };
    match &mut summary.last_metric {
        Some((metric, last)) if metric == name => *last = value.clone(),
        // What says less of how a run goes is shown only until something says more.
        Some((metric, last)) if telling(name, value) > telling(metric, last) => {
            summary.last_metric = Some((name.to_owned(), value.clone()));
            *spark = Spark::default();
        }
        Some(_) => return,
        None => summary.last_metric = Some((name.to_owned(), value.clone())),
    }
    spark.push(number);
}

/// How much a value says of how a run goes: counts least, what was measured on data held back most.
fn telling(name: &str, value: &Value) -> u8 {
    const HELD_BACK: [&str; 6] = ["val", "valid", "validation", "eval", "test", "dev"];
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    match value {
        Value::Float(_) if words.any(|word| HELD_BACK.contains(&word.to_ascii_lowercase().as_str())) => 2,
        Value::Float(_) => 1,
        _ => 0,
    }
}

/// Adds a note, once.
pub(super) fn note(summary: &mut RunSummary, text: String) {
    if !summary.notes.contains(&text) {
        summary.notes.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::Spark;

    #[test]
    fn a_sparkline_spans_the_whole_series_evenly() {
        let mut spark = Spark::default();
        (0..100_000_u32).for_each(|x| spark.push(f64::from(x)));
        let points = spark.points();
        assert_eq!(points.len(), 24);
        assert!(points[0] < 1.0 && points[23] > 95_000.0, "{points:?}");
        let steps: Vec<f64> = points.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| (2_000.0..7_000.0).contains(step)), "{steps:?}");
    }
}
