//! `afterlog grid`: logged and replayed values as a table.

use std::process::ExitCode;

use crate::base::units::counted;
use crate::cli::args::Format;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::{compare, condition, project};
use crate::engine::export;
use crate::engine::project::GridQuery;

/// Write the values of names over runs: a row a position, a column a name.
///
/// Loops stand outermost first with the 0-based index of each iteration; where a loop's value is not its index, a
/// column LOOP_value follows. Marks in the table: ✓ verified, ? unverified, ≠ different, · nothing, … pending,
/// ✗ failed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog grid loss
  afterlog grid loss grad_norm --runs last:3 --format csv
  afterlog grid accuracy --runs 6xk2..last --format json
  afterlog grid loss --where 'epoch >= 3 and lr > 1e-3 and val_acc is not null'
  afterlog grid --printed
  afterlog grid grad_norm --printed='val loss,acc'
  afterlog grid --compare 6xk2 last
  afterlog grid loss --compare 6xk2 7abc --tolerance 1e-6")]
pub struct GridArgs {
    /// Names, in the order of their columns.
    #[arg(required_unless_present_any = ["printed", "compare"], value_name = "NAME")]
    names: Vec<String>,
    /// Only these runs: ids, unique prefixes, names, last, last:5, FIRST..LAST, or a comma list.
    #[arg(long, value_name = "SEL")]
    runs: Option<String>,
    /// Only rows that fulfil this condition on names, loops, arguments, and `run`, `status`, `name`. A row sees what was
    /// logged at its position and around it. What is missing is null.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Also the numbers in the lines that the runs printed, by the words before them: `val loss: 0.25` is `val loss`.
    /// All of them, or those named. Their columns are called `NAME (printed)`.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    printed: Option<Vec<String>>,
    /// Instead of the grid, where these two runs part: for each name that both have (of those given, or of all) the first
    /// position at which their values differ in any bit.
    #[arg(long, value_names = ["RUN", "RUN"], num_args = 2, conflicts_with_all = ["runs", "condition", "printed"])]
    compare: Option<Vec<String>>,
    /// With --compare, also the first position at which they differ by more than this (of the larger number, where that is
    /// above 1); it decides which name comes first.
    #[arg(long, value_name = "X", requires = "compare", value_parser = tolerance)]
    tolerance: Option<f64>,
    /// How to write the grid.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Follow each name with a column NAME_verdict (csv and json; the table always marks them). So it is wherever a
    /// replayed value is shown.
    #[arg(long)]
    verdicts: bool,
    /// No such columns, although replayed values are shown.
    #[arg(long, conflicts_with = "verdicts")]
    no_verdicts: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    if number >= 0.0 && number.is_finite() { Ok(number) } else { Err("a tolerance is 0 or above".into()) }
}

/// Names over all runs as a table.
pub(super) fn show_all(names: &[&str], output: &mut Output) -> Result<ExitCode, Error> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let args = GridArgs {
        names,
        runs: None,
        condition: None,
        printed: None,
        compare: None,
        tolerance: None,
        format: Format::Table,
        verdicts: false,
        no_verdicts: false,
    };
    run(args, output)
}

pub(super) fn run(args: GridArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    if let Some(runs) = &args.compare {
        let wanted = compare::Wanted { names: &args.names, runs, tolerance: args.tolerance, format: args.format };
        return compare::run(&project, &wanted, output);
    }
    let runs = args.runs.as_deref().map(|selection| project.select(selection)).transpose()?;
    let condition = args.condition.as_deref().map(condition).transpose()?;
    let filtered = condition.is_some();
    let grid = project.grid(&GridQuery { names: args.names, runs, printed: args.printed, condition })?;
    let verdicts = args.verdicts || !args.no_verdicts && export::has_replayed(&grid);
    let text = match args.format {
        Format::Table => export::to_table(&grid, output.width()),
        Format::Csv => export::to_csv(&grid, verdicts),
        Format::Json => export::to_json(&grid, verdicts),
    };
    output.text(&text)?;
    output.finish()?;
    if args.format != Format::Table && !verdicts {
        let doubtful = export::doubtful(&grid);
        if doubtful > 0 {
            let are = if doubtful == 1 { "is" } else { "are" };
            output.note(&format!("{} {are} not verified: --verdicts tells which", counted(doubtful, "replayed value")));
        }
    }
    grid.notes.iter().for_each(|note| output.note(note));
    if filtered && grid.is_empty() {
        output.note("no row fulfils the condition");
    }
    for (name, types) in export::mixed_types(&grid) {
        output.note(&format!("'{name}' was logged with several types: {}", types.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}
