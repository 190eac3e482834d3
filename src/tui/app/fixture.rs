//! States of the interface for tests: a project with a few runs, a diff, a grid, a plan and a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::analysis::compare::compare;
use crate::analysis::propagate::Misfit;
use crate::base::ids::{JobId, RunId};
use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::job::{CheckReport, JobStatus, SegmentState, SegmentStatus};
use crate::model::plan::{Cost, ReplayPlan, RunPlan, RunPlanState, Segment, Stop, Work};
use crate::model::position::{Position, Step};
use crate::model::probe::{LogStatement, Placement, PlacementStatus, Propagation};
use crate::model::run::{
    Checkpoint, CheckpointKind, IterationTiming, RunDetail, RunMeta, RunStatus, RunSummary, RunTimings,
};
use crate::model::source::{ChangedFile, FileChange, VersionId};
use crate::model::value::Value;
use crate::model::verdict::Verdict;
use crate::tui::ansi::painted_lines;
use crate::tui::app::document::{Document, FileDiff, Sides};
use crate::tui::app::editor::Draft;
use crate::tui::app::plot::curves::curves;
use crate::tui::app::table;
use crate::tui::app::table::tests::small;
use crate::tui::app::{App, Place};
use crate::tui::event::{Answer, Ask, Detail, Effect, Event, Request, Slot, Survey};

pub(crate) const NOW: i64 = 1_800_000_000_000;

pub(crate) fn id(number: u32) -> RunId {
    format!("{number:010}").parse().expect("an id")
}

pub(crate) fn run(number: u32, status: RunStatus) -> RunSummary {
    RunSummary {
        id: id(number),
        name: (number == 2).then(|| "wider\x1b[31m".to_owned()),
        started_ms: NOW - 3_600_000 * (9 - i64::from(number)),
        duration_ms: 61_000,
        status,
        exit_code: None,
        script: "train.py".into(),
        args: vec![("lr".into(), Value::Float(0.1 / f64::from(number))), ("width".into(), Value::Int(32))],
        command: vec![format!("lr={}", 0.1 / f64::from(number)), "width=32".into()],
        version: VersionId(format!("{:040x}", number / 2)),
        iterations: 20,
        checkpoints: 7,
        checkpoint_bytes: 1_200_000,
        names: vec!["loss".into()],
        last_metric: Some(("loss".into(), Value::Float(0.123_456_789 / f64::from(number)))),
        last_values: BTreeMap::from([("loss".into(), Value::Float(0.123_456_789 / f64::from(number)))]),
        spark: (0..20).map(|i| 1.0 / f64::from(i + 1)).collect(),
        notes: Vec::new(),
    }
}

pub(crate) fn survey() -> Survey {
    let status = [RunStatus::Finished, RunStatus::Failed, RunStatus::Lost, RunStatus::Finished, RunStatus::Running];
    Survey {
        runs: (1..).zip(status).map(|(number, status)| run(number, status)).collect(),
        names: vec!["loss".into(), "norm".into()],
        jobs: Vec::new(),
        notice: None,
    }
}

/// An app that has surveyed its project.
pub(crate) fn app(width: u16, height: u16) -> App {
    let mut app = App::new((width, height), Place::Project("demo".into()), 2);
    app.now_ms = NOW;
    let effects = app.start();
    let effects = answer(&mut app, &effects, Answer::Survey(Box::new(survey())));
    let changed =
        ChangedFile { path: "train.py".into(), change: FileChange::Modified, added_lines: 4, removed_lines: 2 };
    answer(
        &mut app,
        &effects,
        Answer::Changes(vec![(id(1), id(2), Some(vec![changed.clone()])), (id(3), id(4), Some(vec![changed]))]),
    );
    app
}

/// The requests among effects.
pub(crate) fn asks(effects: &[Effect]) -> Vec<&Ask> {
    effects.iter().filter_map(|e| if let Effect::Ask(ask) = e { Some(ask) } else { None }).collect()
}

/// Answers the first request among effects; what follows from the answer comes back.
pub(crate) fn answer(app: &mut App, effects: &[Effect], answer: Answer) -> Vec<Effect> {
    let ask = asks(effects)[0];
    app.update(Event::Answered { slot: ask.request.slot(), generation: ask.generation, result: Ok(answer) })
}

/// Presses keys, written as characters; the effects of the last one come back.
pub(crate) fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            '↓' => KeyCode::Down,
            c => KeyCode::Char(c),
        };
        effects = app.update(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    effects
}

pub(crate) fn placement(after_line: u32, status: PlacementStatus) -> Placement {
    Placement {
        name: "norm".into(),
        source_line: 9,
        status,
        line: Some(after_line + 1),
        shown_line: None,
        column: Some(5),
        after_line: Some(after_line),
        text: "    log(\"norm\", norm(net))\n".into(),
        changes: vec!["net → model".into()],
        reasons: vec!["after the assignment to loss, as in the source".into()],
        alternatives: Vec::new(),
        within: 0,
        decided_in: None,
        edits: Vec::new(),
    }
}

pub(crate) fn propagation(after_line: u32, status: PlacementStatus) -> Propagation {
    Propagation {
        placements: vec![placement(after_line, status)],
        text: "import afterlog\nfor epoch in range(3):\n    loss = 1\n    log(\"norm\", norm(net))\n".into(),
        inserted: vec![(4, 4)],
        problems: Vec::new(),
    }
}

/// Everything about a run that printed these lines.
pub(crate) fn detail(number: u32, output: &str) -> Detail {
    let summary = run(number, RunStatus::Running);
    let meta = RunMeta {
        id: summary.id.clone(),
        name: None,
        started_ms: summary.started_ms,
        python: "/usr/bin/python3".into(),
        python_flags: Vec::new(),
        launcher: Vec::new(),
        module: None,
        script: "train.py".into(),
        args: vec!["lr=0.1".into()],
        project_root: "/home/ada/demo".into(),
        cwd: "/home/ada/demo".into(),
        hash_seed: "0".into(),
        entropy_seed: 0,
        environment: BTreeMap::from([("OMP_NUM_THREADS".into(), "2".into())]),
        others: None,
        hostname: "box".into(),
        version: summary.version.clone(),
        left_out: Vec::new(),
        head: None,
        afterlog_version: "0".into(),
    };
    let iteration = |n: u64| IterationTiming {
        total_ns: n * 1_000_000_000,
        blocks: vec![("train".into(), n * 900_000_000), ("validate".into(), n * 50_000_000)],
        complete: n < 3,
    };
    let timings =
        RunTimings { prefix_ns: 500_000_000, iterations: (1..4).map(iteration).collect(), ..RunTimings::default() };
    let checkpoint = |seq: u64| Checkpoint {
        seq,
        kind: CheckpointKind::IterationStart,
        iteration: seq,
        position: Position(vec![Step { name: "epoch".into(), index: seq }]),
        bytes: 4_000_000,
        stored_bytes: 1_000_000 * (seq + 1),
        stall_ns: 2_000_000,
        missing: vec![("stream".into(), "a generator cannot be copied".into())],
        digests: BTreeMap::new(),
    };
    let run = RunDetail { summary, meta, timings, checkpoints: (0..2).map(checkpoint).collect() };
    Detail { run, ranks: Vec::new(), given_up: 0, unreadable: Vec::new(), output: painted_lines(output) }
}

/// The app on the newest run in detail.
pub(crate) fn with_run(width: u16, height: u16) -> App {
    let mut app = app(width, height);
    press(&mut app, "\n");
    give_detail(&mut app, detail(5, OUTPUT));
    app
}

/// Answers the question for a run's detail that was asked last.
pub(crate) fn give_detail(app: &mut App, detail: Detail) {
    let (slot, generation) = (Slot::Detail, app.generations[Slot::Detail as usize]);
    app.update(Event::Answered { slot, generation, result: Ok(Answer::Detail(Box::new(detail))) });
}

/// What the run of [`with_run`] printed.
pub(crate) const OUTPUT: &str = "\x1b[1mepoch 0\x1b[0m loss \x1b[32m0.5\x1b[0m\nTraceback (most recent call last):\n  \
                                 File \"/home/ada/demo/net.py\", line 12, in forward\nValueError: shapes\n";

/// The app on its diff panel.
pub(crate) fn with_diff(width: u16, height: u16) -> App {
    let mut app = app(width, height);
    let effects = press(&mut app, "jd");
    let body: String = (0..40).map(|i| format!("    step_{i} = {i}\n")).collect();
    let left = format!("import afterlog\nlr = 0.1\n{body}loss = net(x)\nprint(loss)\n");
    let right = format!("import afterlog\nlr = 0.05\n{body}loss = model(x)\nprint(loss)\ndone = True\n");
    let (old, new) = (propagation(43, PlacementStatus::Exact), propagation(43, PlacementStatus::Uncertain));
    let sides = Sides { left: &left, right: &right, into_left: Some(&old), into_right: Some(&new) };
    let file = FileDiff { is_script: true, ..FileDiff::new("train.py".into(), Some(FileChange::Modified), sides) };
    let other = FileDiff::new(
        "data.py".into(),
        Some(FileChange::Added),
        Sides { left: "", right: "x = 1\n", into_left: None, into_right: None },
    );
    let document = Document { left: id(3), right: id(4), files: vec![file, other] };
    answer(&mut app, &effects, Answer::Diff(Arc::new(document)));
    app
}

/// What comes of a statement that stands after line 43 of the newer version.
pub(crate) fn draft(result: Result<Vec<String>, Misfit>) -> Draft {
    let line = |number: u32, text: &str| (Some(number), text.to_owned());
    let mut context = vec![line(42, "    step_39 = 39"), line(43, "loss = model(x)"), line(44, "print(loss)")];
    if result.is_ok() {
        context.insert(2, (None, "afterlog.log(\"n\", loss)".to_owned()));
    }
    let readable = ["loss", "model", "model.weight", "x", "step_39", "lr"].map(str::to_owned).to_vec();
    Draft { result, context, after: 43, readable, replaces: false, iterations: None }
}

/// The app with the probe editor on a line of its diff, and the last effects.
pub(crate) fn with_editor(width: u16, height: u16) -> (App, Vec<Effect>) {
    let mut app = with_diff(width, height);
    press(&mut app, "G[j");
    let effects = press(&mut app, "a");
    assert!(matches!(asks(&effects)[0].request, Request::Draft { .. }));
    let misfit = Misfit { what: "an expression is missing: what shall be logged?".into(), at: Some(0) };
    let effects = answer(&mut app, &effects, Answer::Draft(Arc::new(draft(Err(misfit)))));
    (app, effects)
}

/// Answers that a statement is kept as it was asked for.
pub(crate) fn give_kept(app: &mut App, effects: &[Effect]) -> Vec<Effect> {
    let Request::Keep(written) = asks(effects)[0].request.clone() else { panic!("{effects:?}") };
    answer(app, effects, Answer::Kept(written))
}

/// The app on its grid.
pub(crate) fn with_grid(width: u16, height: u16) -> App {
    let mut app = app(width, height);
    let effects = press(&mut app, "3");
    give_grid(&mut app, &effects, small());
    app
}

/// Two runs of two epochs, of three steps and of four; `loss` by steps with values that need a mark, `acc` by epochs.
pub(crate) fn nested() -> Grid {
    let mut grid = Grid {
        runs: vec![id(1), id(2)],
        loops: ["epoch", "step"].map(|name| LoopColumn { name: name.into(), ..LoopColumn::default() }).into(),
        names: ["loss", "acc"].map(|name| NameColumn { name: name.into(), ..NameColumn::default() }).into(),
        ..Grid::default()
    };
    for (run, steps) in [(0_u32, 3_i64), (1, 4)] {
        for epoch in 0..2_i64 {
            for step in 0..steps {
                grid.rows_run.push(run);
                grid.loops[0].index.push(epoch);
                grid.loops[1].index.push(step);
                let at = u32::try_from(epoch * steps + step).expect("small");
                let value = Value::Float(1.0 / f64::from(at + run + 1));
                grid.names[0].cells.push(match (run, at) {
                    (1, 3) => Cell::Value { value: Value::Float(f64::NAN), verdict: Verdict::Verified },
                    (1, 5) => Cell::Value { value: Value::Float(f64::INFINITY), verdict: Verdict::Verified },
                    (1, 6) => Cell::Value { value, verdict: Verdict::Unverified },
                    (1, 7) => Cell::differs(Value::Float(0.2), Value::Float(0.4)),
                    (1, _) => Cell::Value { value, verdict: Verdict::Verified },
                    _ => Cell::Value { value, verdict: Verdict::Recorded },
                });
                grid.names[1].cells.push(Cell::Value { value: Value::Int(epoch), verdict: Verdict::Recorded });
            }
        }
    }
    grid
}

/// The app on a grid with nested loops.
pub(crate) fn with_nested(width: u16, height: u16) -> App {
    let mut app = app(width, height);
    let effects = press(&mut app, "3");
    give_grid(&mut app, &effects, nested());
    app
}

/// Answers the question for a grid and the one that follows, how to arrange it.
pub(crate) fn give_grid(app: &mut App, effects: &[Effect], grid: Grid) {
    let effects = answer(app, effects, Answer::Grid(Arc::new(grid)));
    let Some(Request::Arrange { grid, arrangement, .. }) = asks(&effects).first().map(|ask| ask.request.clone()) else {
        return;
    };
    let arranged = table::arrange(&grid, &arrangement, &|| false).expect("arranged");
    answer(app, &effects, Answer::Arranged(arranged));
}

/// Opens the plot of the selected column.
pub(crate) fn plot(app: &mut App) {
    let effects = press(app, ".");
    give_curves(app, &effects);
}

/// Answers the question for curves, if there is one.
pub(crate) fn give_curves(app: &mut App, effects: &[Effect]) {
    if let Some(Request::Curves { grid, order, wanted }) = asks(effects).first().map(|ask| ask.request.clone()) {
        let curves = curves(&grid, order.as_ref(), &wanted, &|| false).expect("curves");
        answer(app, effects, Answer::Curves(Arc::new(curves)));
    }
}

/// Answers what the background would about the grid, until nothing is asked any more.
pub(crate) fn settle(app: &mut App, effects: Vec<Effect>) {
    let mut waiting = effects;
    while let Some(ask) = asks(&waiting).first().map(|ask| ask.request.clone()) {
        let found = match ask {
            Request::Arrange { grid, arrangement, .. } => {
                Answer::Arranged(table::arrange(&grid, &arrangement, &|| false).expect("arranged"))
            }
            Request::Curves { grid, order, wanted } => {
                Answer::Curves(Arc::new(curves(&grid, order.as_ref(), &wanted, &|| false).expect("curves")))
            }
            Request::Compare { grid, runs, tolerance } => {
                Answer::Compared(compare(&grid, [&runs[0], &runs[1]], tolerance, &|| false).map(Arc::new))
            }
            _ => return,
        };
        waiting = answer(app, &waiting, found);
    }
}

pub(crate) fn plan() -> ReplayPlan {
    let run_plan = |number, state, status| RunPlan {
        run: id(number),
        version: VersionId("0".into()),
        script: "train.py".into(),
        placements: vec![placement(3, status)],
        probed_source: None,
        inserted: Vec::new(),
        probe_hash: String::new(),
        reach: Default::default(),
        levels: Vec::new(),
        blocks: Vec::new(),
        wanted: vec![0, 1, 2, 3, 7],
        known: vec![7],
        state,
        environment: None,
        shared_prefix_ns: None,
        notes: vec!["block validate runs: its effects are unknown".into()],
    };
    let segment = Segment {
        id: 0,
        run: id(1),
        steps: Vec::new(),
        stop: Stop::AfterLastStep,
        wanted: vec![0, 1],
        cost: Cost { prefix_ns: 1_000_000_000, execute_ns: 4_000_000_000, ..Cost::default() },
        work: Work::default(),
        range_ns: (4_000_000_000, 6_500_000_000),
    };
    ReplayPlan {
        training_ms: Vec::new(),
        left_out: Vec::new(),
        job: "000000000a".parse().expect("an id"),
        names: vec!["norm".into()],
        workers: 2,
        fewer_workers: None,
        runs: vec![
            run_plan(1, RunPlanState::Replay, PlacementStatus::Exact),
            run_plan(2, RunPlanState::Complete, PlacementStatus::AlreadyThere),
            run_plan(3, RunPlanState::NotApplicable, PlacementStatus::NotApplicable),
        ],
        segments: vec![segment],
        makespan_ns: (4_000_000_000, 6_500_000_000),
        expected_ns: 5_000_000_000,
        learnt_from: 0,
        isolation: Default::default(),
        asked: None,
    }
}

pub(crate) fn job(active: bool) -> JobStatus {
    let segment = |number, state| SegmentStatus {
        id: number,
        run: id(number + 1),
        span: Some((0, 9)),
        steps: 10,
        state,
        started_ms: (number < 3).then_some(NOW - 4000),
        ended_ms: (number == 0).then_some(NOW - 1000),
        stop: Default::default(),
        estimated_ns: 9_000_000_000,
        estimate: Default::default(),
        work: Default::default(),
        took: None,
        isolation: Default::default(),
        causes: Vec::new(),
        notes: Vec::new(),
        imports: crate::model::job::Imports::Own,
        given: Vec::new(),
    };
    let id: JobId = "000000000a".parse().expect("an id");
    let failed = SegmentState::Failed {
        message: "ValueError: shapes differ".into(),
        traceback: Some("Traceback (most recent call last):\n  train.py, line 3".into()),
    };
    JobStatus {
        id,
        names: vec!["norm".into()],
        started_ms: NOW - 5000,
        active,
        segments: vec![
            segment(0, SegmentState::Done { check: CheckReport::default() }),
            segment(1, SegmentState::Running { done_steps: 4 }),
            segment(2, failed),
            segment(3, SegmentState::Queued),
        ],
    }
}

pub(crate) fn statement() -> LogStatement {
    LogStatement {
        name: "norm".into(),
        first_line: 9,
        last_line: 9,
        text: "afterlog.log(\"norm\", norm(net))".into(),
        scope: "<module>".into(),
    }
}

/// The app on its replay panel: as far as the given stage, from 1 (choice) to 4 (job).
pub(crate) fn with_replay(width: u16, height: u16, stage: u8) -> App {
    let mut app = app(width, height);
    let effects = press(&mut app, "r");
    answer(&mut app, &effects, Answer::Statements(vec![statement()]));
    if stage >= 2 {
        let effects = press(&mut app, "\n");
        let preview =
            vec![(id(1), propagation(3, PlacementStatus::Exact)), (id(2), propagation(3, PlacementStatus::Uncertain))];
        answer(&mut app, &effects, Answer::Preview(preview));
    }
    if stage >= 3 {
        let effects = press(&mut app, "\n");
        answer(&mut app, &effects, Answer::Plan(Arc::new(plan())));
    }
    if stage >= 4 {
        let effects = press(&mut app, "\n");
        assert!(matches!(asks(&effects)[0].request, Request::Start(_)));
        answer(&mut app, &effects, Answer::Started(job(true).id));
        app.update(Event::Changed(Box::new(Survey { jobs: vec![job(true)], ..survey() })));
    }
    app
}
