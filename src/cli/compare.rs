//! `afterlog grid --compare`: where two runs part.

use std::process::ExitCode;

use crate::analysis::compare::{Compared, Comparison, Parting};
use crate::cli::args::Format;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::engine::export::{field, json_value, table};
use crate::engine::project::Project;
use crate::model::value::Value;

/// What is compared, as typed.
pub(super) struct Wanted<'a> {
    pub(super) names: &'a [String],
    pub(super) runs: &'a [String],
    pub(super) tolerance: Option<f64>,
    pub(super) format: Format,
}

/// Prints for each name that both runs have the first position at which they differ.
pub(super) fn run(project: &Project, wanted: &Wanted<'_>, output: &mut Output) -> Result<ExitCode, Error> {
    let [a, b] = wanted.runs else { return Err(Error::Usage("--compare takes two runs".into())) };
    let (a, b) = (project.select_one(a)?, project.select_one(b)?);
    let found = project.compare(wanted.names, [&a, &b], wanted.tolerance)?;
    let text = match wanted.format {
        Format::Table => in_table(&found, output.width()),
        Format::Csv => in_csv(&found),
        Format::Json => in_json(&found),
    };
    output.text(&text)?;
    output.finish()?;
    output.note(&summary(&found));
    Ok(ExitCode::SUCCESS)
}

fn summary(found: &Comparison) -> String {
    let [a, b] = &found.runs;
    if found.columns.is_empty() {
        return format!("{a} and {b} have no value at the same position");
    }
    let beyond = found.tolerance.map_or(String::new(), |tolerance| format!(" beyond {tolerance:e}"));
    match found.first() {
        None => format!("{a} and {b} agree in all of their {} common values{beyond}", common(found)),
        Some((column, parting)) => {
            let position = if parting.position.is_empty() { "outside every loop" } else { &parting.position };
            let [x, y] = &parting.values;
            format!("first divergence{beyond} at {position}: {} is {x} in {a}, {y} in {b}", column.name)
        }
    }
}

fn common(found: &Comparison) -> usize {
    found.columns.iter().map(|column| column.common).sum()
}

fn in_table(found: &Comparison, width: usize) -> String {
    let [a, b] = &found.runs;
    let mut header =
        vec!["name".to_owned(), "first difference".into(), a.to_string(), b.to_string(), "difference".into()];
    header.extend(found.tolerance.map(|tolerance| format!("beyond {tolerance:e}")));
    header.extend(["common", "differing", "only first", "only second"].map(str::to_owned));
    let place = |parting: Option<&Parting>| match parting {
        None => "none".to_owned(),
        Some(parting) if parting.position.is_empty() => "outside every loop".into(),
        Some(parting) => parting.position.clone(),
    };
    let row = |column: &Compared| {
        let first = column.first.as_ref();
        let value = |side: usize| first.map(|p| p.values[side].to_string()).unwrap_or_default();
        let difference = first.and_then(Parting::difference).map(|x| format!("{x:.3e}")).unwrap_or_default();
        let mut cells = vec![column.name.clone(), place(first), value(0), value(1), difference];
        cells.extend(found.tolerance.map(|_| place(column.beyond.as_ref())));
        cells.extend([column.common, column.differing, column.only[0], column.only[1]].map(|n| n.to_string()));
        cells
    };
    table::lay_out(&header, &found.columns.iter().map(row).collect::<Vec<_>>(), width)
}

fn in_csv(found: &Comparison) -> String {
    let mut out = String::from(
        "name,position,a,b,a_verdict,b_verdict,beyond_position,beyond_a,beyond_b,common,differing,only_a,only_b\n",
    );
    for column in &found.columns {
        let values = |parting: Option<&Parting>| match parting {
            Some(p) => [p.position.clone(), p.values[0].to_string(), p.values[1].to_string()],
            None => Default::default(),
        };
        let verdict =
            |side: usize| column.first.as_ref().map(|p| p.verdicts[side].word().to_owned()).unwrap_or_default();
        let mut cells = vec![column.name.clone()];
        cells.extend(values(column.first.as_ref()));
        cells.extend([verdict(0), verdict(1)]);
        cells.extend(values(column.beyond.as_ref()));
        cells.extend([column.common, column.differing, column.only[0], column.only[1]].map(|n| n.to_string()));
        out.push_str(&cells.iter().map(|cell| field(cell)).collect::<Vec<_>>().join(","));
        out.push('\n');
    }
    out
}

fn in_json(found: &Comparison) -> String {
    let plain = |value: &Value| serde_json::from_str::<serde_json::Value>(&json_value(value)).unwrap_or_default();
    let parting = |parting: &Option<Parting>| {
        parting.as_ref().map(|p| {
            serde_json::json!({
                "position": p.position, "a": plain(&p.values[0]), "b": plain(&p.values[1]),
                "a_verdict": p.verdicts[0].word(), "b_verdict": p.verdicts[1].word(),
            })
        })
    };
    let row = |column: &Compared| {
        let object = serde_json::json!({
            "name": column.name, "first": parting(&column.first), "beyond": parting(&column.beyond),
            "common": column.common, "differing": column.differing,
            "only_a": column.only[0], "only_b": column.only[1],
        });
        format!("  {object}")
    };
    let rows: Vec<String> = found.columns.iter().map(row).collect();
    if rows.is_empty() { "[]\n".into() } else { format!("[\n{}\n]\n", rows.join(",\n")) }
}
