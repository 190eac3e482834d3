//! Settings of libraries that a run changes on its way are as they were where a replay enters it.

use crate::truth::{Added, Case};

/// `change` is done in the second iteration; `seen` is logged by the added statement, and computed anew.
#[track_caller]
fn check(torch: bool, what: &str, before: &str, change: &str, seen: &str) {
    let script = format!(
        "import random, afterlog\nrandom.seed(1)\n{before}\ntotal = 0.0\nfor epoch in afterlog.loop('epoch', range(6)):\n    \
         if epoch == 1:\n        {change}\n    for step in afterlog.loop('step', range(3)):\n        total += \
         random.random()\n    afterlog.log('total', total)\n"
    );
    let statement = format!("afterlog.log('seen', {seen})");
    let with_statement = Added { after: "afterlog.log('total'", statement: &statement, deeper: 0 }.to(&script);
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
