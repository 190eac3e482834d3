//! Added statements that do more than look: those that carry something on have the values of a full run, and those that
//! change the training, or give something else each time, are marked.

use crate::env::TestProject;
use crate::truth::Case;

/// A script with a place before its loop, one in its inner loop and one at the end of an iteration; what it prints bears it out.
fn script(before: &str, inner: &str, end: &str) -> String {
    format!(
        "import random\nrandom.seed(0)\nw, hist, it = 0.0, [], random.Random(3)\n{before}for epoch in range(6):\n    \
         for step in range(4):\n        w += random.random()\n        hist.append(w)\n{inner}    print('w', repr(w))\n{end}"
    )
}

#[test]
fn what_a_statement_carries_on_from_one_iteration_to_the_next_has_the_values_of_a_full_run() {
    for (before, inner, end) in [
        ("own = []\n", "", "    own.append(w)\n    afterlog.log('probe', sum(own) / len(own))\n"),
        ("mean = 0.0\n", "", "    mean = 0.9 * mean + 0.1 * w\n    afterlog.log('probe', mean)\n"),
        // The script's own variable, which the run captured.
        ("", "", "    afterlog.log('probe', (w := w * 0.5))\n"),
        ("", "", "    w, own = w * 0.5, w\n    afterlog.log('probe', own)\n"),
        ("seen = {}\n", "        seen[step] = seen.get(step, 0) + w\n", "    afterlog.log('probe', seen[2])\n"),
    ] {
        let with_statement = format!("import afterlog\n{}", script(before, inner, end));
        let script = script("", "", "");
        Case { torch: false, others: &[], script: &script, with_statement: &with_statement }
            .check_entered(end, "probe");
    }
}

#[test]
fn what_a_statement_makes_of_a_variable_of_the_runs_is_not_undone_by_the_state_after_a_skipped_loop() {
    for (loops, epochs) in [
        ("    for step in range(4):\n        w += random.random()\n", ""),
        (
            "    w = train(w)\n",
            "def train(w):\n    for step in range(4):\n        w += random.random()\n    return w\n",
        ),
    ] {
        let script = format!(
            "import random\nrandom.seed(0)\nw, lr = 0.0, 1.0\n{epochs}for epoch in range(6):\n{loops}    lr = lr * 0.9\n    \
             print('w', repr(w))\n"
        );
        let end = "    afterlog.log('probe', (lr := lr * 0.5))\n";
        let with_statement = format!("import afterlog\n{script}{end}");
        Case { torch: false, others: &[], script: &script, with_statement: &with_statement }
            .check_entered(loops, "probe");
    }
}

#[test]
fn what_a_statement_changes_or_takes_from_chance_is_marked_with_the_reason() {
    let project = TestProject::git();
    let before = "import csv, itertools\npairs, turns = zip(range(9), range(9)), itertools.cycle('abc')\n\
                  class Rows:\n    size = 9\n    def take(self):\n        return next(turns)\n    def __init__(self):\n        \
                  self.kept = csv.reader(['a,b'] * 9)\nrows, some = Rows(), {'a': [turns]}\ndef take():\n    return next(turns)\n";
    project.write("train.py", script(before, "", ""));
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    for (number, (expression, reason)) in [
        ("random.random()", "draws random numbers"),
        ("hist.pop()", "changes hist"),
        ("it.random()", "changes it"),
        ("next(pairs)", "may take from pairs"),
        ("take()", "may take from turns"),
        ("rows.take()", "may take from rows.kept, turns"),
        ("next(rows.kept)", "may take from rows.kept"),
        ("next(some['a'][0])", "may take from some"),
        ("[hist for hist in [hist.pop()]]", "changes hist"),
        ("__import__('subprocess').check_output(['cat', __file__])", "rely on what cat says"),
        ("time.time() - start", "which gives something else each time"),
        ("__import__('timeit').default_timer()", "which gives something else each time"),
        ("time.strftime('%H:%M:%S')", "which gives something else each time"),
        ("time.asctime()", "which gives something else each time"),
        ("time.strftime('%H', (2000, 1, 1, 5, 0, 0, 5, 1, 0))", "verified"),
        ("[max(hist), it.getstate()[2], len(set(hist)), rows.size]", "verified"),
        ("[sum(w for w in hist), list(zip(hist, map(str, hist)))[0]]", "verified"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("probe{number}");
        let end = format!("    afterlog.log('{name}', {expression})\n");
        project.write("train.py", format!("import afterlog, time; start = time.time()\n{}", script(before, "", &end)));
        let replayed = project.afterlog(&["replay", &name, "--iters", "epoch=3", "--yes"]);
        assert!(replayed.stderr.contains(reason) || reason == "verified", "{expression}: {replayed:?}");
        let grid = project.afterlog(&["grid", &name, "--verdicts", "--format", "csv"]).ok();
        let verdict = if reason == "verified" { ",verified" } else { ",unverified" };
        assert!(grid.contains(verdict), "{expression}: {grid}");
    }
}

#[test]
fn what_a_statement_changes_in_another_module_is_told_though_it_has_a_variable_of_that_name_itself() {
    let project = TestProject::git();
    project.write("other.py", "count = 0\ndef step():\n    global count\n    count += 1\n    return count\n");
    project.write("train.py", script("import other\n", "", ""));
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let end = "    afterlog.log('probe', (count := other.step()))\n";
    project.write("train.py", format!("import afterlog\n{}", script("import other\n", "", end)));
    let replayed = project.afterlog(&["replay", "probe", "--iters", "epoch=3", "--yes"]);
    assert!(replayed.stderr.contains("changes other.count"), "{replayed:?}");
}

/// What a replay entered at iteration 3 says of `seen`, logged at the end of each iteration, must be that it relies on `what`.
#[track_caller]
fn is_marked(project: &TestProject, script: &str, seen: &str, what: &str) {
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", format!("import afterlog\n{script}    afterlog.log('probe', {seen})\n"));
    let replayed = project.afterlog(&["replay", "probe", "--iters", "epoch=3", "--yes"]);
    assert!(replayed.stderr.contains("rely on") && replayed.stderr.contains(what), "{script}{replayed:?}");
    let grid = project.afterlog(&["grid", "probe", "--verdicts", "--format", "csv"]).ok();
    assert!(grid.contains(",unverified") && !grid.contains(",verified"), "{script}{grid}");
}

#[test]
fn what_a_forked_process_finds_that_the_run_left_behind_later_is_no_value_of_the_run_however_it_ends() {
    for end in ["os._exit(0)", "raise SystemExit"] {
        let script = format!(
            "import os, random, sys\nrandom.seed(0)\nw = 0.0\ndef look(epoch):\n    get, put = os.pipe()\n    \
             sys.stdout.flush()\n    if os.fork() == 0:\n        \
             os.write(put, b'1' if os.path.exists('f%d' % (epoch + 1)) else b'0')\n        {end}\n    os.wait()\n    \
             return os.read(get, 1)\nfor epoch in range(6):\n    for step in range(3):\n        w += random.random()\n    \
             open('f%d' % epoch, 'w').close()\n    seen = look(epoch)\n    print('w', repr(w))\n"
        );
        is_marked(&TestProject::git(), &script, "seen.decode()", "/f4");
    }
}

#[test]
fn what_a_program_says_that_is_awaited_is_no_value_of_the_run() {
    let script = "import asyncio, random\nrandom.seed(0)\nw = 0.0\nasync def ask():\n    \
                  pipe = asyncio.subprocess.PIPE\n    \
                  program = await asyncio.create_subprocess_exec('cat', 'said', stdout=pipe)\n    \
                  return (await program.communicate())[0].decode()\nasync def both():\n    \
                  return await asyncio.gather(ask(), ask())\nfor epoch in range(6):\n    for step in range(3):\n        \
                  w += random.random()\n    with open('said', 'w') as out:\n        print(epoch, file=out)\n    \
                  print('w', repr(w))\n";
    for seen in ["asyncio.run(ask())", "asyncio.run(both())"] {
        is_marked(&TestProject::git(), script, seen, "what cat says");
    }
}

#[test]
fn a_project_that_lies_in_memory_has_its_files_watched_like_any_other() {
    let script = "import os, random\nrandom.seed(0)\nw = 0.0\nfor epoch in range(6):\n    for step in range(3):\n        \
                  w += random.random()\n    if epoch < 3:\n        open('f%d' % epoch, 'w').close()\n    \
                  print('w', repr(w))\n";
    is_marked(&TestProject::in_memory(), script, "os.path.exists('f2')", "/f2");
}

/// A model whose value depends on its mode.
const DROPOUT: &str = "import torch\ntorch.manual_seed(0)\nnet = torch.nn\nmodel = net.Sequential(net.Linear(4, 8), \
    net.Dropout(0.5), net.Linear(8, 1))\nopt = torch.optim.SGD(model.parameters(), lr=0.1)\nx, y = torch.randn(16, 4), \
    torch.randn(16, 1)\nfor epoch in range(6):\n    for step in range(4):\n        opt.zero_grad()\n        \
    loss = ((model(x) - y) ** 2).mean()\n        loss.backward()\n        opt.step()\n    print('loss', repr(loss.item()))\n";

#[test]
fn statements_that_undo_together_what_one_of_them_does_have_the_verified_values_of_a_full_run() {
    let look = "    with torch.no_grad():\n        v = model(x).mean().item()\n";
    for (statements, verdict) in [
        (format!("    model.eval()\n{look}    model.train()\n    afterlog.log('probe', v)\n"), "verified"),
        (
            format!(
                "    kept, was = torch.get_rng_state(), model.training\n    model.train(False)\n{look}    v += torch.rand(1).item()\n    \
                 model.train(was)\n    torch.set_rng_state(kept)\n    afterlog.log('probe', v)\n"
            ),
            "verified",
        ),
        // Gradients that were there are gone after it.
        (
            "    model.zero_grad()\n    loss = model[0](x).mean()\n    loss.backward()\n    \
             afterlog.log('probe', model[0].weight.grad.norm().item())\n    model.zero_grad()\n"
                .to_owned(),
            "unverified",
        ),
    ] {
        let with_statement = format!("import afterlog\n{DROPOUT}{statements}");
        let case = Case { torch: true, others: &[], script: DROPOUT, with_statement: &with_statement };
        let grid = case.check_entered(&statements, "probe");
        let unverified = grid.contains(",unverified");
        assert!(
            unverified == (verdict == "unverified") && (unverified || grid.contains(",verified")),
            "{statements}: {grid}"
        );
    }
}

#[test]
fn a_mode_that_stays_changed_is_not_brought_and_the_placement_says_so() {
    let project = TestProject::plain();
    let statements = "    model.eval()\n    afterlog.log('probe', model(x).mean().item())\n";
    project.write("new.py", format!("import afterlog\n{DROPOUT}{statements}"));
    project.write("old.py", DROPOUT);
    let found = project.afterlog(&["propagate", "--source", "new.py", "--target", "old.py", "--out", "out.py"]).ok();
    assert!(
        found.contains("uncertain") && found.contains("`model.eval()` at line 15 of the source changes"),
        "{found}"
    );
    assert!(!project.read("out.py").contains("eval"));
}
