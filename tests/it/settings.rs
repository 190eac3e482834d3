//! Where a replay enters a run, libraries are set as they were, objects hold all that they held, and what depends on files
//! that skipped iterations may have made is not called verified.

use crate::env::TestProject;
use crate::truth::{Added, Case, values};

/// The script in whose second iteration `change` is done, and the same with a statement that logs `seen`, computed anew.
fn scripts(before: &str, change: &str, seen: &str) -> (String, String) {
    let script = format!(
        "import random, afterlog\nrandom.seed(1)\n{before}\ntotal = 0.0\nfor epoch in afterlog.loop('epoch', range(6)):\n    \
         if epoch == 1:\n        {change}\n    for step in afterlog.loop('step', range(3)):\n        total += \
         random.random()\n    afterlog.log('total', total)\n"
    );
    let statement = format!("afterlog.log('seen', {seen})");
    let with_statement = Added { after: "afterlog.log('total'", statement: &statement, deeper: 0 }.to(&script);
    (script, with_statement)
}

#[track_caller]
fn check(torch: bool, what: &str, before: &str, change: &str, seen: &str) {
    let (script, with_statement) = scripts(before, change, seen);
    Case { torch, others: &[], script: &script, with_statement: &with_statement }.check_entered(what, "seen");
}

#[test]
fn precision_and_rounding_of_decimals_are_what_the_run_had_set() {
    let change = "decimal.getcontext().prec = 50; decimal.getcontext().rounding = decimal.ROUND_UP";
    check(false, "decimal", "import decimal", change, "str(decimal.Decimal(total) / 7)");
}

#[test]
fn default_type_gradients_and_error_handling_of_torch_and_numpy_are_what_the_run_had_set() {
    let before = "import torch, numpy as np\np = torch.ones(2, requires_grad=True)\ndef division():\n    try:\n        \
                  return float(np.ones(1)[0] / np.zeros(1)[0])\n    except FloatingPointError:\n        return -1.0";
    let change = "torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); np.seterr(all='raise'); \
                  np.set_printoptions(precision=3); torch.use_deterministic_algorithms(True)";
    let seen = "f'{torch.ones(1).div(3).item()} {(p * 2).requires_grad} {division()} {np.ones(1) / 3} \
                {torch.are_deterministic_algorithms_enabled()}'";
    check(true, "torch and NumPy", before, change, seen);
}

#[test]
fn the_folder_that_a_script_has_gone_to_is_where_a_replay_goes() {
    let before = "import os\nos.makedirs('inner', exist_ok=True)";
    check(false, "folder", before, "os.chdir('inner')", "os.path.basename(os.getcwd()) == 'inner'");
}

#[test]
fn limits_of_python_itself_are_what_the_run_had_set() {
    let change = "sys.setrecursionlimit(3007); gc.set_threshold(707, 11, 12); sys.setswitchinterval(0.25); \
                  socket.setdefaulttimeout(7.5)";
    let seen =
        "str([sys.getrecursionlimit(), gc.get_threshold()[:2], sys.getswitchinterval(), socket.getdefaulttimeout()])";
    check(false, "limits", "import gc, socket, sys", change, seen);
}

#[test]
fn loggers_of_libraries_are_what_the_run_had_set() {
    let before = "import asyncio, logging\nof_library = logging.getLogger('asyncio')";
    let change = "logging.getLogger('asyncio').setLevel(37); logging.getLogger('asyncio').propagate = False";
    check(false, "loggers of libraries", before, change, "str([of_library.level, of_library.propagate])");
}

#[test]
fn levels_and_usual_handlers_of_loggers_are_what_the_run_had_set() {
    let before = "import logging\nlog, other = logging.getLogger('x'), logging.getLogger('other')\n\
                  log.addHandler(logging.StreamHandler())\nlog.addHandler(logging.NullHandler())";
    let change = "log.setLevel(17); log.propagate = False; other.disabled = True; logging.disable(5); \
                  log.removeHandler(log.handlers[0]); log.handlers[0].setLevel(7); logging.basicConfig(level=23)";
    let seen = "str([log.level, log.propagate, other.disabled, log.isEnabledFor(17), log.isEnabledFor(16), logging.root.manager.disable, \
                [(type(handler).__name__, handler.level) for handler in log.handlers + logging.root.handlers], logging.root.level])";
    check(false, "loggers", before, change, seen);
    let (replayed, full, said) = entered(before, change, seen);
    assert!(replayed.len() == 1 && full.contains(&replayed[0]), "the loop is entered there: {replayed:?} of {full:?}");
    assert!(said.contains(" verified") && !said.contains("unverified"), "{said}");
}

#[test]
fn seeds_from_which_generators_of_numpy_were_made_go_on_making_others() {
    let before = "import numpy as np\nrng, seeds = np.random.default_rng(1), np.random.SeedSequence(5)\n\
                  shared = np.random.default_rng(seeds)\nclass Held:\n    pass\nheld = Held()\nheld.rng = np.random.default_rng(7)\n\
                  def count(rng):\n    return rng.bit_generator.seed_seq.n_children_spawned";
    let change = "pass\n    a, b, c = rng.spawn(2), seeds.spawn(3), shared.spawn(1)\n    d = held.rng.spawn(1)";
    let seen = "str([count(rng), seeds.n_children_spawned, count(shared), count(held.rng), a[0].random(), c[0].random(), \
                d[0].random(), int(b[0].generate_state(1)[0])])";
    check(true, "seeds", before, change, seen);
}

#[test]
fn what_a_class_does_not_pickle_of_itself_and_methods_bound_by_hand_are_restored() {
    let before = "class Box:\n    def __init__(self):\n        self.hits = 0\n    def __reduce__(self):\n        return Box, ()\n    \
                  def add(self):\n        self.hits += 1\nbox = Box()\ndef add(self):\n    self.hits += 10\ndef adds(box):\n    \
                  was = box.hits\n    box.add()\n    added, box.hits = box.hits - was, was\n    return added";
    check(false, "what is not pickled", before, "box.add()", "box.hits");
    let change = "import types; box.add = types.MethodType(add, box)";
    check(false, "a method bound by hand", before, change, "adds(box)");
    let renamed = before.replace("def add(self):\n    self.hits += 10", "def other(self):\n    self.hits += 10");
    check(false, "of another name", &renamed, &change.replace("(add,", "(other,"), "adds(box)");
}

/// What is logged after entering the main loop, with its verdict.
fn entered(before: &str, change: &str, seen: &str) -> (Vec<String>, Vec<String>, String) {
    let (script, with_statement) = scripts(before, change, seen);
    let full = TestProject::git();
    full.write("train.py", &with_statement);
    full.afterlog(&["run", "train.py"]).ok();
    let project = TestProject::git();
    project.write("train.py", &script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", &with_statement);
    let replayed = project.afterlog(&["replay", "seen", "--iters", "3", "--yes"]);
    assert_eq!(replayed.code, Some(0), "{seen}: {replayed:?}");
    (values(&project, &["seen"]), values(&full, &["seen"]), replayed.stderr)
}

#[test]
fn a_value_that_depends_on_a_file_which_skipped_iterations_made_is_never_verified() {
    let before = "import glob, json, os, pathlib\ndef best():\n    try:\n        return json.load(open('best.json'))\n    \
                  except OSError:\n        return 0.0";
    let change = "json.dump(7.5, open('best.json', 'w'))";
    for seen in [
        "os.path.exists('best.json')",
        "os.path.isfile('best.json')",
        "pathlib.Path('best.json').exists()",
        "os.access('best.json', os.R_OK)",
        "'best.json' in os.listdir('.')",
        "len(glob.glob('*.json'))",
        "len(list(pathlib.Path('.').glob('*.json')))",
        "best()",
    ] {
        let (replayed, full, said) = entered(before, change, seen);
        assert_ne!(replayed, full, "{seen}: or else there is nothing to tell of");
        assert!(said.contains("unverified") && said.contains("rely on"), "{seen}: {said}");
    }
}

#[test]
fn where_a_script_fails_for_want_of_what_was_skipped_nothing_is_skipped() {
    let change = "json.dump(total, open('best.json', 'w'))";
    let seen = "json.load(open('best.json')) if epoch else 0.0";
    let (replayed, full, said) = entered("import json", change, seen);
    assert!(replayed.iter().any(|row| row.starts_with("3,")), "{replayed:?}");
    assert!(replayed.iter().all(|row| full.contains(row)), "{replayed:?} of {full:?}");
    assert!(said.contains("needed what it was to skip") && said.contains("script's beginning"), "{said}");
    assert!(said.contains(" verified") && !said.contains("unverified"), "{said}");
}

#[test]
fn folders_that_a_script_makes_for_itself_and_libraries_that_look_around_raise_no_doubt() {
    let before = "import os, pathlib, tempfile, traceback, warnings\ndef folders():\n    os.makedirs('out/a', exist_ok=True)\n    \
                  pathlib.Path('out/b').mkdir(exist_ok=True)\n    if not os.path.exists('out/c'):\n        os.mkdir('out/c')\n    \
                  open('out/c/x', 'w').write('1')\n    traceback.format_stack()\n    warnings.warn('look')\n    \
                  with tempfile.TemporaryDirectory() as folder:\n        return os.path.exists('out/c/x') + len(os.listdir(folder))";
    let (replayed, full, said) = entered(before, "folders()", "folders()");
    assert!(replayed.iter().filter(|row| row.starts_with("3,")).all(|row| full.contains(row)), "{replayed:?}");
    assert!(said.contains(" verified") && !said.contains("unverified"), "{said}");
}
