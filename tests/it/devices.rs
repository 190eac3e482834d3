//! Copies from devices, on a model of devices that do everything as late as they may: no GPU is needed.

use std::path::Path;

use crate::env::{Finished, TestProject, python};

/// Random training scripts for each way in which the device is broken; it takes less than ten of them to find each.
const SCRIPTS: &str = "200";

fn explored(broken: &[&str]) -> Finished {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = TestProject::plain();
    let mut command = project.command(python());
    command.arg(here.join("tests/fixtures/device_model.py")).arg(SCRIPTS).args(broken);
    let output = command.env("PYTHONPATH", here.join("assets/runtime")).output().expect("runs");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn the_recorder_reads_what_the_script_had_written_however_late_a_device_copies_it() {
    assert_eq!(explored(&[]).ok(), "sound\n");
}

#[test]
fn each_step_of_the_order_is_needed() {
    for (step, says) in [
        ("settle", "where the script had written"),
        ("hold", "where the script had written"),
        ("training_waits", "where the script had written"),
        ("wait", "where the script had written"),
        ("drain", "unpinned under a copy"),
    ] {
        let finished = explored(&[step]);
        assert_eq!(finished.code, Some(1), "{step}: {finished:?}");
        assert!(finished.stderr.contains(says), "{step}: {finished:?}");
    }
}
