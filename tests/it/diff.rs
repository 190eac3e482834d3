//! `afterlog diff` between runs.

use crate::env::TestProject;

const FIRST: &str = "import afterlog\nx = 1\n\n\ny = 2\nz = 3\n\n\n\n\n\n\n\n\nafterlog.log('x', x)\n";

#[test]
fn a_diff_of_two_runs_turns_the_older_file_into_the_newer_one() {
    let project = TestProject::plain();
    let second = FIRST.replace("x = 1", "x = 10").replace("z = 3\n", "") + "afterlog.log('y', y)\n";
    for (text, other) in [(FIRST, "one\n"), (&second, "one\n")] {
        project.write("train.py", text);
        project.write("notes.txt", other);
        project.afterlog(&["run", "train.py"]).ok();
    }
    let [old, new] = project.run_ids().try_into().expect("two runs");
    let diff = project.afterlog(&["diff", &old, &new]).ok();
    assert!(diff.contains("+2 -2 lines") && !diff.contains("notes.txt"), "{diff}");
    project.write("train.py", FIRST);
    let of_git = |run: &str, side: &str| (format!("train.py ({run})"), format!("{side}/train.py"));
    let named = [of_git(&old, "a"), of_git(&new, "b")].iter().fold(diff, |diff, (from, to)| diff.replace(from, to));
    project.write("change.diff", named);
    project.run("git", &["apply", "change.diff"]).ok();
    assert_eq!(project.read("train.py"), second);

    let same = project.afterlog(&["diff", &new, &new]);
    assert!(same.stderr.contains("the same code"), "{same:?}");
    assert_eq!(same.ok(), "");
    let missing = project.afterlog(&["diff", &old, &new, "--file", "nowhere.py"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("nowhere.py"), "{missing:?}");
}

#[test]
fn binary_files_are_named_and_not_written_to_the_terminal() {
    let project = TestProject::git();
    project.write("train.py", FIRST);
    for bytes in [&b"PK\x00\x01\x1b[31mred"[..], &b"PK\x00\x02\x1b[31mred"[..]] {
        project.write("model.pt", bytes);
        project.afterlog(&["run", "train.py"]).ok();
    }
    let [old, new] = project.run_ids().try_into().expect("two runs");
    let diff = project.afterlog(&["diff", &old, &new]).ok();
    assert_eq!(diff.trim(), format!("Binary files model.pt of {old} and {new} differ"));
}
