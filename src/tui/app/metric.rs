//! Which logged value the list of runs shows, and its course over each run.

use std::collections::{BTreeSet, HashMap};

use crate::base::ids::RunId;
use crate::model::grid::{Cell, Grid};
use crate::model::run::{RunStatus, RunSummary};
use crate::model::value::Value;
use crate::tui::app::App;
use crate::tui::app::list::Cursor;
use crate::tui::app::overlay::Overlay;
use crate::tui::app::timeline::Timeline;
use crate::tui::event::{Effect, Request};

/// What stands for the value that each run's summary names.
const OWN: &str = "each run's own";
/// Points of a course.
const POINTS: usize = 24;

/// A value chosen by the user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metric {
    pub name: String,
    /// As far as they are known.
    courses: HashMap<RunId, Course>,
    /// The runs of the request under way that went on when it was made, if there is one.
    asked: Option<Vec<RunId>>,
    /// More is wanted than that request asks for.
    again: bool,
}

/// How a value went in a run.
#[derive(Debug, Clone, PartialEq)]
struct Course {
    points: Vec<f64>,
    /// Nothing comes after it.
    is_whole: bool,
}

impl Timeline {
    /// The value that a run's row shows, and its name.
    pub fn value<'a>(&'a self, run: &'a RunSummary) -> Option<(&'a str, &'a Value)> {
        match &self.metric {
            Some(metric) => run.last_values.get(&metric.name).map(|value| (metric.name.as_str(), value)),
            None => run.last_metric.as_ref().map(|(name, value)| (name.as_str(), value)),
        }
    }

    /// How that value went.
    pub fn course<'a>(&'a self, run: &'a RunSummary) -> &'a [f64] {
        match &self.metric {
            Some(metric) => metric.courses.get(&run.id).map_or(&[], |course| &course.points),
            None => &run.spark,
        }
    }
}

/// The course of the only name of a grid, run by run: at most so many of its finite values, evenly spaced.
pub fn courses(grid: &Grid) -> Vec<(RunId, Vec<f64>)> {
    let mut all: Vec<(RunId, Vec<f64>)> = grid.runs.iter().map(|run| (run.clone(), Vec::new())).collect();
    let cells = grid.names.first().map_or(&[][..], |name| &name.cells);
    for (run, cell) in grid.rows_run.iter().zip(cells) {
        let number = Cell::shown(cell).and_then(Value::as_f64).filter(|x| x.is_finite());
        if let (Some((_, values)), Some(number)) = (usize::try_from(*run).ok().and_then(|run| all.get_mut(run)), number)
        {
            values.push(number);
        }
    }
    for (_, values) in &mut all {
        let count = values.len();
        if count > POINTS {
            *values = (0..POINTS).map(|i| values[i * (count - 1) / (POINTS - 1)]).collect();
        }
    }
    all
}

impl App {
    /// Lets the user choose among all names that runs logged numbers under.
    pub(super) fn choose_metric(&mut self) -> Vec<Effect> {
        let runs = &self.timeline.runs;
        // Most runs log what the one before did: to see that is cheaper than to sort it in, of very many.
        let is_known = |at: usize| at > 0 && runs[at - 1].last_values.keys().eq(runs[at].last_values.keys());
        let others = runs.iter().enumerate().filter(|(at, _)| !is_known(*at));
        let all: BTreeSet<&String> = others.flat_map(|(_, run)| run.last_values.keys()).collect();
        let names: Vec<String> = std::iter::once(OWN.to_owned()).chain(all.into_iter().cloned()).collect();
        let chosen = self.timeline.metric.as_ref();
        let selected = names.iter().position(|name| chosen.is_some_and(|metric| metric.name == *name)).unwrap_or(0);
        self.open(Overlay::Metrics { names, cursor: Cursor { selected, offset: 0 } })
    }

    /// Shows this value in every row.
    pub(super) fn show_metric(&mut self, name: Option<String>) -> Vec<Effect> {
        let name = name.filter(|name| name != OWN);
        self.timeline.set_metric(name.map(|name| Metric { name, ..Metric::default() }));
        self.ask_changes()
    }

    /// Asks for the courses of the rows in the window that are not known, or not to their end; while others are under way,
    /// after those: were they dropped for each change, slow ones would never come while a run goes on.
    pub(super) fn ask_courses(&mut self, window: &[usize]) -> Option<Effect> {
        let metric = self.timeline.metric.as_mut()?;
        let wanted: Vec<&RunSummary> = window
            .iter()
            .map(|row| &self.timeline.runs[*row])
            .filter(|run| run.last_values.contains_key(&metric.name))
            .filter(|run| metric.courses.get(&run.id).is_none_or(|course| !course.is_whole))
            .collect();
        metric.again = metric.asked.is_some() && !wanted.is_empty();
        if metric.asked.is_some() || wanted.is_empty() {
            return None;
        }
        let going_on = wanted.iter().filter(|run| run.status == RunStatus::Running);
        metric.asked = Some(going_on.map(|run| run.id.clone()).collect());
        let (name, runs) = (metric.name.clone(), wanted.iter().map(|run| run.id.clone()).collect());
        Some(self.ask(Request::Courses { name, runs }))
    }

    pub(super) fn take_courses(&mut self, name: &str, courses: Vec<(RunId, Vec<f64>)>) -> Vec<Effect> {
        let Some(metric) = self.timeline.metric.as_mut().filter(|metric| metric.name == name) else {
            return Vec::new();
        };
        let going_on = metric.asked.take().unwrap_or_default();
        metric.courses.extend(courses.into_iter().map(|(run, points)| {
            let is_whole = !going_on.contains(&run);
            (run, Course { points, is_whole })
        }));
        if metric.again { self.ask_changes() } else { Vec::new() }
    }

    pub(super) fn courses_refused(&mut self) {
        if let Some(metric) = &mut self.timeline.metric {
            metric.asked = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::ids::RunId;
    use crate::model::run::RunStatus;
    use crate::model::value::Value;
    use crate::tui::app::App;
    use crate::tui::app::fixture::{answer, app, asks, id, press, survey};
    use crate::tui::app::overlay::Overlay;
    use crate::tui::app::table::tests::small;
    use crate::tui::event::{Answer, Effect, Event, Request};

    #[test]
    fn another_value_is_shown_with_its_course_where_runs_logged_it() {
        let mut app = app(80, 24);
        let mut survey = survey();
        for run in survey.runs.iter_mut().take(2) {
            run.last_values.insert("acc".into(), Value::Float(0.5));
        }
        app.update(Event::Changed(Box::new(survey)));
        let effects = press(&mut app, "mj\n");
        let asked = asks(&effects).into_iter().find_map(|ask| match &ask.request {
            Request::Courses { name, runs } => Some((name.clone(), runs.clone())),
            _ => None,
        });
        assert_eq!(asked, Some(("acc".to_owned(), vec![id(2), id(1)])));
        let shown = |app: &App, run: usize| {
            let timeline = &app.timeline;
            (
                timeline.value(&timeline.runs[run]).map(|(name, _)| name.to_owned()),
                timeline.course(&timeline.runs[run]).len(),
            )
        };
        assert_eq!((shown(&app, 0), shown(&app, 4)), ((Some("acc".into()), 0), (None, 0)));
        let courses = vec![(id(1), vec![0.25, 0.5]), (id(2), vec![0.5])];
        answer(&mut app, &effects, Answer::Courses { name: "acc".into(), courses });
        assert_eq!(shown(&app, 0).1, 2);
        press(&mut app, "mg\n");
        assert_eq!(shown(&app, 4), (Some("loss".into()), 20));
    }

    /// The runs whose courses are asked for.
    fn asked(effects: &[Effect]) -> Option<Vec<RunId>> {
        asks(effects).into_iter().find_map(|ask| match &ask.request {
            Request::Courses { runs, .. } => Some(runs.clone()),
            _ => None,
        })
    }

    fn courses(app: &mut App, effects: &[Effect], points: &[f64]) -> Vec<Effect> {
        let courses = asked(effects).expect("asked").into_iter().map(|run| (run, points.to_vec())).collect();
        let of_courses: Vec<Effect> =
            effects.iter().filter(|effect| asked(std::slice::from_ref(*effect)).is_some()).cloned().collect();
        answer(app, &of_courses, Answer::Courses { name: "loss".into(), courses })
    }

    #[test]
    fn a_slow_course_comes_while_its_run_goes_on_and_is_asked_for_once_more_when_that_has_ended() {
        let mut app = app(80, 24);
        let changed = |app: &mut App, status| {
            let mut survey = survey();
            survey.runs[4].status = status;
            app.update(Event::Changed(Box::new(survey)))
        };
        let slow = press(&mut app, "mj\n");
        for _ in 0..3 {
            assert_eq!(asked(&changed(&mut app, RunStatus::Running)), None, "the first is under way");
        }
        let next = courses(&mut app, &slow, &[1.0]);
        assert_eq!(app.timeline.course(&app.timeline.runs[4]), [1.0]);
        assert_eq!(asked(&next), Some(vec![id(5)]), "it has changed meanwhile");
        changed(&mut app, RunStatus::Finished);
        let last = courses(&mut app, &next, &[1.0, 2.0]);
        assert_eq!(asked(&last), Some(vec![id(5)]), "it went on when that was asked for");
        assert_eq!(asked(&courses(&mut app, &last, &[1.0, 2.0, 3.0])), None);
        assert_eq!(app.timeline.course(&app.timeline.runs[4]), [1.0, 2.0, 3.0]);
        assert_eq!(asked(&changed(&mut app, RunStatus::Finished)), None);
    }

    #[test]
    fn the_chosen_value_is_seen_among_many_and_stays_so_in_a_smaller_window() {
        let mut app = app(80, 24);
        let mut survey = survey();
        for number in 0..40 {
            survey.runs[0].last_values.insert(format!("value_{number:02}"), Value::Float(0.5));
        }
        app.update(Event::Changed(Box::new(survey)));
        press(&mut app, "mG\nm");
        for size in [(80, 24), (80, 12)] {
            app.update(Event::Resize(size.0, size.1));
            let Some(Overlay::Metrics { names, cursor }) = &app.overlay else { panic!("{:?}", app.overlay) };
            assert_eq!(names[cursor.selected], "value_39");
            assert!(cursor.selected < cursor.offset + app.overlay_height(), "{cursor:?}");
        }
    }

    #[test]
    fn a_course_is_made_of_the_finite_numbers_of_each_run() {
        let all = super::courses(&small());
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|(_, values)| values.iter().all(|x| x.is_finite())));
        assert!(!all[0].1.is_empty());
    }
}
