//! Scripts written for FlorDB run unmodified.

use crate::env::TestProject;

const SCRIPT: &str = "\
import flordb as flor

hidden = flor.arg('hidden', 32)
lr = flor.arg('lr', 1e-3)
class Net:
    def __init__(self): self.w = 0.0
net = Net()
with flor.checkpointing(model=net):
    for epoch in flor.loop('epoch', range(3)):
        for data in flor.loop('step', [10, 20]):
            net.w += lr * data
            flor.log('loss', net.w)
        flor.log('acc', epoch / 2)
flor.commit()
";

#[test]
fn a_flordb_script_records_loops_logs_and_arguments() {
    for import in ["import flordb as flor", "import flor"] {
        let project = TestProject::git();
        project.write("train.py", SCRIPT.replace("import flordb as flor", import));
        project.afterlog(&["run", "train.py", "--kwargs", "lr=0.5"]).ok();
        let csv = project.afterlog(&["grid", "loss", "acc", "--format", "csv"]).ok();
        let id = &project.run_ids()[0];
        let expected = format!(
            "run,epoch,step,step_value,loss,acc\n\
             {id},0,,,,0.0\n{id},0,0,10,5.0,\n{id},0,1,20,15.0,\n\
             {id},1,,,,0.5\n{id},1,0,10,20.0,\n{id},1,1,20,30.0,\n\
             {id},2,,,,1.0\n{id},2,0,10,35.0,\n{id},2,1,20,45.0,\n"
        );
        assert_eq!(csv.replace("\r\n", "\n"), expected);
        let shown = project.afterlog(&["show", "last"]).ok();
        assert!(shown.contains("lr") && shown.contains("0.5") && shown.contains("hidden"), "{shown}");
    }
}

#[test]
fn dataframe_gives_all_runs_and_this_ones_values_so_far() {
    let project = TestProject::git().with_torch();
    let asking = "frame = flor.dataframe('loss', 'acc')\nprint(type(frame).__module__.split('.')[0], list(frame.columns))\n\
                  print(len(frame), frame['run'].nunique(), frame['loss'].sum(), frame['acc'].sum())\n";
    project.write("train.py", format!("{SCRIPT}{asking}"));
    for (runs, rows, losses, accuracies) in [(1, 9, "150.0", "1.5"), (2, 18, "300.0", "3.0")] {
        let printed = project.afterlog(&["run", "train.py", "lr=0.5"]).ok();
        let expected = "pandas ['run', 'epoch', 'step', 'step_value', 'loss', 'acc']\n";
        assert_eq!(printed, format!("{expected}{rows} {runs} {losses} {accuracies}\n"));
    }
}

#[test]
fn without_the_recorder_the_calls_work_and_say_once_that_nothing_is_kept() {
    let project = TestProject::git();
    project.write("train.py", format!("{SCRIPT}print('w', net.w)\n"));
    let runtime = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/runtime");
    let output = project
        .command(crate::env::python())
        .env("PYTHONPATH", runtime)
        .args(["train.py", "--kwargs", "lr=0.5"])
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "w 45.0\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{output:?}");
    assert!(!project.path().join(".afterlog").exists());
}
