//! What helps at the shell's prompt: settings, completions, the manual page.

use crate::env::TestProject;
use crate::terminal::Terminal;

fn recorded() -> TestProject {
    let project = TestProject::git();
    let script = "import afterlog\nfor epoch in range(2):\n    afterlog.log(\"loss\", 0.5)\n";
    project.write("train.py", script);
    project.afterlog(&["run", "--quiet", "train.py"]).ok();
    project
}

/// What bash offers for a line typed so far, with the printed script sourced.
#[track_caller]
fn completed(project: &TestProject, line: &str) -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_afterlog");
    let script = format!(
        "PATH={}:$PATH; source <({program} completions bash) || exit 1
        COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9
        _clap_complete_afterlog afterlog \"${{COMP_WORDS[COMP_CWORD]}}\" ''
        printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        std::path::Path::new(program).parent().expect("a folder").display()
    );
    project.run("bash", &["-c", &script]).ok().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_runs_and_names() {
    let project = recorded();
    let run = project.run_ids().remove(0);
    assert!(completed(&project, "afterlog re").contains(&"replay".to_owned()));
    assert!(completed(&project, "afterlog grid --fo").contains(&"--format".to_owned()));
    assert_eq!(completed(&project, &format!("afterlog show {}", &run[..3])), [run.as_str()]);
    assert_eq!(completed(&project, "afterlog grid lo"), ["loss"]);
    assert!(completed(&project, "afterlog ''").iter().all(|word| !word.starts_with("__")), "nothing internal");
}

#[test]
fn the_scripts_of_completion_are_accepted_by_their_shells() {
    let project = TestProject::plain();
    for shell in ["bash", "zsh", "fish"] {
        let script = project.afterlog(&["completions", shell]).ok();
        assert!(script.contains("AFTERLOG_COMPLETE"), "{shell}");
        project.write("completions", script);
        let there = project.run("sh", &["-c", &format!("command -v {shell}")]).code == Some(0);
        if there {
            project.run(shell, &["-n", "completions"]).ok();
        }
    }
}

#[test]
fn every_command_has_a_manual_page_that_groff_accepts() {
    let project = TestProject::plain();
    let page = project.afterlog(&["man"]).ok();
    assert!(page.contains(".TH afterlog 1") && page.contains("replay") && !page.contains("__worker"));
    assert!(project.afterlog(&["man", "probe", "add"]).ok().contains(".TH afterlog-probe-add 1"));
    let unknown = project.afterlog(&["man", "repaly"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(2), ""));
    project.write("page.1", page);
    if project.run("sh", &["-c", "command -v groff"]).code == Some(0) {
        assert_eq!(project.run("groff", &["-man", "-ww", "-z", "page.1"]).stderr, "");
    }
}

#[test]
fn settings_are_checked_with_line_and_column_and_a_broken_file_keeps_nobody_out() {
    let project = recorded();
    let defaults = project.afterlog(&["config", "--default"]).ok();
    project.write(".afterlog/config.toml", &defaults);
    assert!(project.afterlog(&["config"]).ok().contains(".afterlog/config.toml  read"));
    project.write(".afterlog/config.toml", "budget = \"1GB\"\n\n[keys.timeline]\nfilter = [\"d\"]\nquit = \"x\"\n");
    let checked = project.afterlog(&["config", "--check"]);
    assert_eq!(checked.code, Some(1));
    for part in ["config.toml:4:11: 'd' is diff in timeline already", "config.toml:5:1: timeline has no command 'quit'"]
    {
        assert!(checked.stderr.contains(part), "{part} in {}", checked.stderr);
    }
    project.afterlog(&["gc", "--dry-run"]).ok();
    let mut terminal = Terminal::start(&project, &[], 120, 24);
    terminal.wait_for("settings (1 of 2: afterlog config): config.toml:4:11: 'd' is diff");
    terminal.wait_for("train.py");
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
    project.write(".afterlog/config.toml", "buget = \"1GB\"\n");
    assert!(project.afterlog(&["gc", "--dry-run"]).stderr.contains("did you mean 'budget'?"));
}

#[test]
fn the_user_s_keys_are_what_the_interface_obeys_and_shows() {
    let project = recorded();
    let folder = project.home().join(".config/afterlog");
    project.run("mkdir", &["-p", &folder.display().to_string()]).ok();
    project.write("keys.toml", "mouse = false\n[keys.everywhere]\nhelp = [\"F2\"]\nleave = \"Alt-q\"\n");
    project.run("cp", &["keys.toml", &folder.join("config.toml").display().to_string()]).ok();
    let mut terminal = Terminal::start(&project, &[], 120, 30);
    terminal.wait_for("Alt-q quit");
    assert_eq!(terminal.parser.screen().mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    terminal.send("\x1b[12~");
    terminal.wait_until("the help with the user's keys", |screen| {
        screen.lines().any(|line| line.contains("F2") && line.contains("help"))
    });
    terminal.send("\x1b[12~");
    terminal.wait_until("the help is closed", |screen| !screen.contains("previous panel"));
    terminal.send("\x1bq");
    assert_eq!(terminal.wait_for_exit(), 0);
}
