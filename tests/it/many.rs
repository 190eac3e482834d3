//! A project with a great many runs, for tests and benchmarks: one was recorded, the others stand beside it in the database.

use afterlog::base::ids::RunId;
use afterlog::engine::project::Project;
use afterlog::store::db::{Db, DbError, RunRow};

use crate::env::TestProject;

/// `count` runs; `change` makes the row with a number what it is to be.
pub(crate) fn project_with_runs(count: u32, change: impl Fn(u32, &mut RunRow)) -> TestProject {
    let project = TestProject::git();
    project.write(
        "train.py",
        "import afterlog\nfor epoch in afterlog.loop('epoch', range(20)):\n    afterlog.log('loss', 1 / (epoch + 1))\n",
    );
    project.afterlog(&["run", "train.py"]).ok();
    let opened = Project::require(&project.path()).expect("a project");
    let mut db = Db::open(opened.layout()).expect("a database");
    let id: RunId = project.run_ids()[0].parse().expect("an id");
    let recorded = db.run(&id).expect("read").expect("the run");
    db.write::<(), DbError>(|writing| {
        for number in 1..count {
            let mut row = recorded.clone();
            row.summary.id = format!("{number:010}").parse().expect("an id");
            row.meta.id = row.summary.id.clone();
            change(number, &mut row);
            writing.set_run(&row)?;
        }
        Ok(())
    })
    .expect("written");
    project
}
