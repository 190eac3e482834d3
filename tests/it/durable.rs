//! A power cut: whatever was said to be kept is on the disk by then, and nothing names what is not.

use std::collections::BTreeSet;
use std::path::Path;

use crate::env::TestProject;

/// Stands between the program and the C library, and writes down in which order files are written, synced and named.
const WATCHER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *what, const char *path, const char *more) {
    const char *log = getenv("WATCHED");
    char line[9000];
    int out = log ? open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (out < 0) return;
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", what, path, more);
    ssize_t (*plain)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (plain(out, line, length) != length) abort();
    close(out);
}

static void say_of(const char *what, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (path[0] == '/' && strstr(path, "/.afterlog/")) say(what, path, "");
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))
ssize_t write(int fd, const void *data, size_t size) {
    say_of("write", fd);
    return REAL(ssize_t, write, int, const void *, size_t)(fd, data, size);
}
int fsync(int fd) {
    int result = REAL(int, fsync, int)(fd);
    say_of("sync", fd);
    return result;
}
int fdatasync(int fd) {
    int result = REAL(int, fdatasync, int)(fd);
    say_of("sync", fd);
    return result;
}
int rename(const char *from, const char *to) {
    say("rename", from, to);
    return REAL(int, rename, const char *, const char *)(from, to);
}
int unlink(const char *path) {
    say("remove", path, "");
    return REAL(int, unlink, const char *)(path);
}
"#;

const SCRIPT: &str = "\
import afterlog, random
state = [random.random() for _ in range(2000)]
for epoch in afterlog.loop('epoch', range(5)):
    for step in afterlog.loop('step', range(3)):
        state[step] = random.random()
    afterlog.log('sum', sum(state))
";

/// What is not on the disk yet, as far as files are watched.
#[derive(Default)]
struct Disk {
    /// Files, and folders in which something got or lost its name.
    unsynced: BTreeSet<String>,
    checkpoints: usize,
    packs_changed: usize,
}

impl Disk {
    fn take(&mut self, line: &str) {
        let [what, path, more] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let folder = |path: &str| Path::new(path).parent().expect("in a folder").display().to_string();
        // The database and compiled Python can be made again.
        if !path.contains("/.afterlog/") || path.contains("/db.sqlite") || path.contains("/__pycache__/") {
            return;
        }
        match what {
            "write" => {
                if path.ends_with("/recorder.aflj") {
                    let packs: Vec<_> = self.unsynced.iter().filter(|path| path.contains("/packs")).collect();
                    assert!(packs.is_empty(), "a journal names what is not on the disk: {packs:?}");
                    self.checkpoints += 1;
                }
                self.unsynced.insert(path.to_owned());
            }
            "sync" => drop(self.unsynced.remove(path)),
            // Whatever else goes is in nobody's way if it is there again.
            "remove" if !path.ends_with(".pack") => drop(self.unsynced.remove(path)),
            "rename" | "remove" => {
                assert!(!self.unsynced.remove(path) || what == "remove", "{line}: half of it may be there");
                let named = if what == "rename" { more } else { path };
                if named.ends_with(".pack") {
                    let noted = self.unsynced.iter().find(|path| path.contains("/.afterlog/runs"));
                    assert_eq!(noted, None, "{line}: it is removed before it is given up for good");
                    self.packs_changed += 1;
                }
                self.unsynced.insert(folder(named));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn what_is_said_to_be_kept_is_on_the_disk_and_so_is_what_a_journal_names() {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    let (source, watcher) = (project.home().join("watcher.c"), project.home().join("watcher.so"));
    project.write("../home/watcher.c", WATCHER);
    let [source, library] = [&source, &watcher].map(|path| path.to_str().expect("UTF-8"));
    project.run("cc", &["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]).ok();
    let log = project.home().join("watched");
    let watched = |args: &[&str]| {
        let output = project.afterlog_command(args).env("LD_PRELOAD", library).env("WATCHED", &log).output();
        let output = output.expect("starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = std::fs::read_to_string(&log).expect("what it did");
        std::fs::remove_file(&log).expect("read");
        let mut disk = Disk::default();
        lines.lines().for_each(|line| disk.take(line));
        disk
    };
    let run = watched(&["run", "--checkpoints", "all", "train.py"]);
    assert!(run.checkpoints > 5, "{} writes to the recorder's journal", run.checkpoints);
    let left = |disk: &Disk, what: &str| disk.unsynced.iter().filter(|path| path.contains(what)).count();
    assert_eq!((left(&run, ".aflj"), left(&run, "/packs")), (0, 0), "{:?}", run.unsynced);
    project.write("train.py", format!("{SCRIPT}    afterlog.log('first', state[0])\n"));
    let add = watched(&["probe", "add", "first"]);
    assert_eq!(left(&add, "/probes"), 0, "{:?}", add.unsynced);
    let gc = watched(&["gc", "--runs", "last", "--keep", "1"]);
    assert!(gc.packs_changed > 0, "something was given up");
    assert_eq!((left(&gc, "/runs"), left(&gc, "/packs")), (0, 0), "{:?}", gc.unsynced);
}
