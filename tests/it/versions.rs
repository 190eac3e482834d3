//! Versions hold the work tree as it is, and taking one leaves git as it was.

use afterlog::base::ids::RunId;
use afterlog::store::layout::Layout;
use afterlog::store::versions::Versions;

use crate::env::TestProject;

#[test]
fn a_version_holds_uncommitted_and_untracked_files_and_touches_nothing() {
    let project = TestProject::git();
    project.write("train.py", "v = 1\n");
    project.write("gone.py", "old\n");
    project.write("staged.py", "s = 0\n");
    project.write(".gitignore", "data/\n");
    project.commit("start");
    project.write("train.py", "v = 2\n");
    project.write("new/helper.py", "h = 1\n");
    project.write("data/big.bin", "ignored");
    project.write("weights.bin", vec![7_u8; 11 << 20]);
    std::fs::remove_file(project.path().join("gone.py")).expect("removed");
    project.write("staged.py", "s = 1\n");
    project.run("git", &["add", "staged.py"]).ok();
    project.write("staged.py", "s = 2\n");
    std::os::unix::fs::symlink("train.py", project.path().join("link.py")).expect("link");
    let before = project.fingerprint();

    let layout = Layout::create(&project.path()).expect("store");
    let versions = Versions::open(&layout).expect("opens");
    let run = RunId::generate();
    let first = versions.commit_worktree(&run).expect("commits");
    assert_eq!(before, project.fingerprint());
    let files = versions.list_files(&first.version).expect("lists");
    assert_eq!(files, [".gitignore", "link.py", "new/helper.py", "staged.py", "train.py"]);
    let read = |path| versions.read_file(&first.version, path).expect("reads");
    assert_eq!(read("train.py").as_deref(), Some(&b"v = 2\n"[..]));
    assert_eq!(read("staged.py").as_deref(), Some(&b"s = 2\n"[..]));
    assert_eq!(read("gone.py"), None);
    assert_eq!(first.left_out.len(), 1, "{:?}", first.left_out);
    assert_eq!(first.left_out[0].path, "weights.bin");
    let head = project.run("git", &["rev-parse", "HEAD"]).ok();
    assert_eq!(first.head.expect("a head").0, head.trim());
    let mut paths = versions.worktree_paths().expect("paths");
    paths.sort();
    assert_eq!(paths, [".gitignore", "link.py", "new/helper.py", "staged.py", "train.py", "weights.bin"]);

    project.write("train.py", "v = 3\nw = 1\n");
    let second = versions.commit_worktree(&RunId::generate()).expect("commits");
    let changed = versions.changed_files(&first.version, &second.version).expect("compares");
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].path.as_str(), changed[0].added_lines, changed[0].removed_lines), ("train.py", 2, 1));

    let folder = tempfile::tempdir().expect("folder");
    versions.check_out(&first.version, folder.path(), std::time::SystemTime::now()).expect("checks out");
    assert_eq!(std::fs::read(folder.path().join("new/helper.py")).expect("file"), b"h = 1\n");
    assert_eq!(std::fs::read_link(folder.path().join("link.py")).expect("link").to_str(), Some("train.py"));
}

#[test]
fn the_list_of_files_is_made_anew_once_a_folder_has_another_file() {
    let project = TestProject::git();
    project.write("train.py", "v = 1\n");
    project.write("deep/er/data.txt", "1");
    std::fs::create_dir_all(project.path().join("empty")).expect("made");
    project.write(".gitignore", "out/\n");
    project.write("out/ignored.txt", "1");
    let layout = Layout::create(&project.path()).expect("store");
    let versions = Versions::open(&layout).expect("opens");
    let kept = layout.store().join("worktree.json");
    let listed = || {
        let mut paths = versions.worktree_paths_kept(&kept).expect("lists");
        let mut anew = versions.worktree_paths().expect("lists");
        paths.sort();
        anew.sort();
        assert_eq!(paths, anew);
        paths
    };
    listed();
    // What was changed just now could have been changed again unseen.
    std::thread::sleep(std::time::Duration::from_millis(50));
    listed();
    let marked = || std::fs::metadata(&kept).and_then(|meta| meta.modified()).expect("kept");
    let before = marked();
    project.write("out/more.txt", "2");
    project.write("train.py", "v = 2\n");
    assert_eq!(listed(), [".gitignore", "deep/er/data.txt", "train.py"]);
    assert_eq!(marked(), before, "nothing that is listed has changed");
    for (path, count) in [("deep/er/new.txt", 4), ("empty/new.py", 5), ("another/new.py", 6)] {
        project.write(path, "1");
        assert_eq!(listed().len(), count, "{path}");
        std::thread::sleep(std::time::Duration::from_millis(50));
        listed();
    }
    std::fs::remove_file(project.path().join("deep/er/data.txt")).expect("removed");
    assert_eq!(listed().len(), 5);
}

#[test]
fn folders_without_git_and_repositories_without_commits_have_versions_too() {
    for project in [TestProject::plain(), TestProject::git()] {
        project.write("train.py", "v = 1\n");
        project.write("__pycache__/train.cpython-311.pyc", "cache");
        project.write(".gitignore", "__pycache__/\n");
        let layout = Layout::create(&project.path()).expect("store");
        let versions = Versions::open(&layout).expect("opens");
        let committed = versions.commit_worktree(&RunId::generate()).expect("commits");
        assert_eq!(versions.list_files(&committed.version).expect("lists"), [".gitignore", "train.py"]);
        assert_eq!(committed.head, None);
    }
}

#[test]
fn data_too_much_for_a_version_is_replayed_from_where_it_lies() {
    let project = TestProject::plain();
    for number in 0..1200 {
        project.write(&format!("data/{}/{number}.bin", number % 10), format!("{number}"));
    }
    project.write("scale.json", "3");
    let script = "import afterlog, glob, json\nscale = json.load(open('scale.json'))\n\
                  for epoch in afterlog.loop('epoch', range(3)):\n    total = 0\n\
                  \x20   for path in sorted(glob.glob('data/*/*.bin')):\n        total += int(open(path).read()) * scale\n\
                  \x20   afterlog.log('total', total + epoch)\n";
    project.write("train.py", script);
    project.afterlog(&["run", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("left out of the version: data/ (1200 files,"), "{shown}");
    let versions = Versions::open(&Layout::create(&project.path()).expect("store")).expect("opens");
    let files = versions.commit_worktree(&RunId::generate()).map(|committed| versions.list_files(&committed.version));
    assert_eq!(files.expect("commits").expect("lists"), ["scale.json", "train.py"]);

    project.write("scale.json", "5");
    project.write("train.py", format!("{script}    afterlog.log('twice', [2 * total, scale])\n"));
    project.afterlog(&["replay", "twice", "--yes"]).ok();
    let sum = 1200 * 1199 / 2 * 3;
    let grid = project.afterlog(&["grid", "twice", "--verdicts", "--format", "csv"]).ok();
    let expected = format!("\"[{}, 3]\"", 2 * sum);
    assert_eq!(grid.matches(&expected).count(), 3, "{grid}");
    assert_eq!(grid.matches(",verified").count(), 3, "{grid}");
}

#[test]
fn what_was_left_out_and_has_changed_since_is_replayed_but_not_verified() {
    let project = TestProject::plain();
    for number in 0..40 {
        project.write(&format!("epoch{number}.pt"), vec![7_u8; 1 << 20]);
    }
    for (path, text) in [("prompt.jinja", "three"), ("src/model.py", "def f(x):\n    return 2 * x\n")] {
        project.write(path, text);
    }
    project.write("src/tried.ipynb", vec![b' '; 9 << 20]);
    let script = "import afterlog, os, sys\nsys.path.insert(0, 'src')\nfrom model import f\n\
                  for epoch in afterlog.loop('epoch', range(3)):\n    afterlog.log('value', f(epoch))\n";
    project.write("train.py", script);
    project.afterlog(&["run", "train.py"]).ok();
    project.write("src/model.py", "def f(x):\n    return 3 * x\n");
    project.write("prompt.jinja", "fourteen words");
    let added = "    afterlog.log('seen', [f(epoch), len(open('prompt.jinja').read())])\n";
    project.write("train.py", format!("{script}{added}"));
    project.afterlog(&["replay", "seen", "--yes"]).ok();
    let grid = project.afterlog(&["grid", "seen", "--verdicts", "--format", "csv"]).ok();
    assert!(grid.contains("\"[4, 5]\"") && grid.matches(",verified").count() == 3, "{grid}");

    project.write("epoch7.pt", vec![8_u8; 1 << 20]);
    project.write("train.py", format!("{script}    afterlog.log('first', open('epoch7.pt', 'rb').read(1)[0])\n"));
    project.afterlog(&["replay", "first", "--yes"]).ok();
    let grid = project.afterlog(&["grid", "first", "--verdicts", "--format", "csv"]).ok();
    assert_eq!((grid.matches(",verified").count(), grid.matches(",unverified").count()), (0, 3), "{grid}");
    let shown = project.afterlog(&["jobs", "show", "last"]).ok();
    assert!(shown.contains("epoch7.pt: it does not hold what it held in the run"), "{shown}");
}
