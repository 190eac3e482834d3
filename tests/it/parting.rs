//! Where two runs part: on the command line, and in a real terminal from heat over plot to both runs side by side.

use serde_json::Value;

use crate::env::TestProject;
use crate::terminal::Terminal;

/// `loss` parts at epoch 2, step 3 by `bump`, `acc` at the end of that epoch; `same` never.
const SCRIPT: &str = r#"
import afterlog

bump = afterlog.arg("bump", 0.0)
total = 0.0
for epoch in afterlog.loop("epoch", range(4)):
    for step in afterlog.loop("step", range(5)):
        loss = 1 / (1 + epoch * 5 + step)
        if epoch > 2 or epoch == 2 and step >= 3:
            loss += bump
        total += loss
        afterlog.log("loss", loss)
        afterlog.log("same", step)
    afterlog.log("acc", total)
"#;

fn project_with_two_runs(bump: &str) -> (TestProject, [String; 2]) {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "train.py"]).ok();
    project.afterlog(&["run", "train.py", &format!("bump={bump}")]).ok();
    let [a, b] = <[String; 2]>::try_from(project.run_ids()).expect("two runs");
    (project, [a, b])
}

#[test]
fn the_first_divergence_is_named_with_its_position_and_a_tolerance_moves_it() {
    let (project, [a, b]) = project_with_two_runs("1e-9");
    let finished = project.afterlog(&["grid", "--compare", &a, &b]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("first divergence at epoch=2/step=3: loss is "), "{}", finished.stderr);
    let names: Vec<&str> = finished.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["name", "loss", "acc", "same"]);

    let json = project.afterlog(&["grid", "loss", "--compare", &a, &b, "--tolerance", "1e-6", "--format", "json"]).ok();
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&found[0]["first"]["position"], &found[0]["beyond"]), (&"epoch=2/step=3".into(), &Value::Null));
    assert_eq!((&found[0]["common"], &found[0]["differing"]), (&20.into(), &7.into()));

    let tolerant = project.afterlog(&["grid", "--compare", &a, &b, "--tolerance", "1e-6"]);
    assert!(tolerant.stderr.contains("agree in all of their 44 common values"), "{}", tolerant.stderr);
    let csv = project.afterlog(&["grid", "acc", "--compare", &a, &b, "--format", "csv"]).ok();
    assert!(csv.lines().nth(1).is_some_and(|line| line.starts_with("acc,epoch=2,")), "{csv}");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let (project, [a, _]) = project_with_two_runs("0.5");
    let unknown = project.afterlog(&["grid", "--compare", &a, "nonesuch"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("nonesuch"), "{}", unknown.stderr);
    let negative = project.afterlog(&["grid", "--compare", &a, "last", "--tolerance=-1"]);
    assert_eq!(negative.code, Some(2), "{}", negative.stderr);
    let itself = project.afterlog(&["grid", "--compare", &a, &a]);
    assert!(itself.stderr.contains("agree in all"), "{}", itself.stderr);
}

#[test]
fn heat_plot_and_both_runs_side_by_side_in_a_terminal() {
    let (project, [a, b]) = project_with_two_runs("0.5");
    let mut terminal = Terminal::start(&project, &[], 100, 30);
    terminal.wait_for("finished");
    terminal.send("  3");
    terminal.wait_for("48 rows");
    terminal.wait_for("0.33333");
    terminal.send("cc");
    let coloured = |terminal: &Terminal| {
        let screen = terminal.parser.screen();
        let shades = (0..30).flat_map(|y| (0..100).filter_map(move |x| screen.cell(y, x)));
        let shades: std::collections::HashSet<String> = shades.map(|cell| format!("{:?}", cell.bgcolor())).collect();
        shades.len()
    };
    while coloured(&terminal) < 6 {
        assert!(terminal.listen(std::time::Duration::from_secs(20)) > 0, "no colours: {}", terminal.screen());
    }
    terminal.send("l.");
    terminal.wait_for("over step of every epoch");
    terminal.wait_until("both runs in the legend", |screen| {
        screen.lines().filter(|line| line.contains(&a) || line.contains(&b)).count() == 2
    });
    terminal.send("$");
    terminal.wait_for("epoch=3/step=4");
    terminal.send("qD");
    terminal.wait_for("where two runs part");
    terminal.wait_for("epoch=2/step=3");
    terminal.send("\r");
    terminal.wait_for("loss B-A");
    terminal.wait_until("the difference under the cursor", |screen| {
        screen.lines().any(|line| line.contains("0.57143") && line.contains("0.07143"))
    });
    terminal.send("qqqq");
    assert_eq!(terminal.wait_for_exit(), 0);
}
