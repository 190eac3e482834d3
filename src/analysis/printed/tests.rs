//! Lines as scripts print them.

use proptest::prelude::*;

use super::{comparable, values};
use crate::model::value::Value;

/// The values of a line as `name=value; …`.
fn found(line: &str) -> String {
    let one = |(name, value): (String, Value)| format!("{name}={value}");
    values(line).into_iter().map(one).collect::<Vec<_>>().join("; ")
}

#[test]
fn numbers_are_found_under_the_names_that_stand_before_them() {
    for (line, expected) in [
        ("val loss: 0.123", "val loss=0.123"),
        ("loss=0.5", "loss=0.5"),
        ("acc 0.91", "acc=0.91"),
        ("Epoch 3/10", "Epoch=3"),
        ("{'loss': 0.5, 'grad_norm': 1.25, 'epoch': 2}", "loss=0.5; grad_norm=1.25; epoch=2"),
        ("Epoch 1/4 val loss: -0.18603", "Epoch=1; val loss=-0.18603"),
        ("INFO:train:val -0.186030", "val=-0.18603"),
        ("[1,  2000] loss: 2.173", "loss=2.173"),
        ("Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.300039", "Train Epoch=1; Loss=2.300039"),
        (
            "Test set: Average loss: 0.0265, Accuracy: 9913/10000 (99%)",
            "Average loss=0.0265; Accuracy=9913; Accuracy %=99",
        ),
        ("iter 100: loss 3.2500, time 250.10ms, mfu 12.35%", "iter=100; loss=3.25; time=250.1; mfu=12.35"),
        ("step 5 | loss 3.25 | lr 1.0e-03 | dt 12.5 ms", "step=5; loss=3.25; lr=0.001; dt=12.5"),
        ("loss: tensor(0.1234, grad_fn=<MeanBackward0>)", "loss=0.1234"),
        ("The best accuracy so far is 91.5%", "accuracy so far=91.5"),
        ("2026-11-21 14:15:42,123 INFO main: train/loss = 0.25", "train/loss=0.25"),
        ("2026-11-21 14:15:42,123 INFO w0 0.25", "w0=0.25"),
        ("\u{1b}[32mloss\u{1b}[0m: \u{1b}[1m0.5\u{1b}[0m", "loss=0.5"),
        ("loss nan, norm -inf", "loss=nan; norm=-inf"),
        ("conv2 layer3.weight 2nd v1.2.3 0x7f3a", ""),
        ("0.5 0.6", ""),
        ("done.", ""),
        // Thousands or a list: nobody knows.
        ("tokens: 10,000, loss: 0.5", "loss=0.5"),
        ("loss: 1.", "loss=1"),
    ] {
        assert_eq!(found(line), expected, "{line}");
    }
}

#[test]
fn times_and_rates_are_left_out_of_what_is_compared() {
    for (one, other) in [
        ("epoch 3 loss 0.1234 (12.3s)", "epoch 3 loss 0.1234 (9.25s)"),
        ("loss 0.1234 time: 12.3", "loss 0.1234 time: 9.1"),
        ("2026-11-21 14:15:42,123 loss 0.1234", "2026-11-22 04:05:02,001 loss 0.1234"),
        ("100%|██| 5/5 [00:00<00:00, 72.88it/s, loss=0.161]", "100%|██| 5/5 [00:01<00:00, 416.40it/s, loss=0.161]"),
        ("loss 0.1234, 250 samples/s", "loss 0.1234, 1250 samples/s"),
        ("took 5 minutes, 1.5 GB", "took 15 minutes, 2.5 GB"),
        ("<object at 0x7f12ab>", "<object at 0x7f55cd>"),
    ] {
        assert_eq!(comparable(one), comparable(other), "{one}");
    }
    assert_ne!(comparable("loss 0.1234 (1s)").text, comparable("loss 0.1235 (1s)").text);
    assert_ne!(comparable("epoch 1").text, comparable("epoch 2").text);
}

#[test]
fn only_computed_numbers_are_evidence() {
    for (line, expected) in [
        ("loss 0.1234, acc 91.25%", &[("0.1234", 4), ("91.25", 4)][..]),
        ("epoch 3/10 lr 0.001234 step 12345", &[]),
        ("took 12.345s", &[]),
        ("acc 0.91", &[]),
        ("seen 12345", &[]),
        ("loss 1.25e-05", &[("1.25e-05", 3)]),
    ] {
        let computed = comparable(line).computed;
        let computed: Vec<(&str, u32)> = computed.iter().map(|(text, digits)| (text.as_str(), *digits)).collect();
        assert_eq!(computed, expected, "{line}");
    }
}

proptest! {
    #[test]
    fn any_line_can_be_read(line in "\\PC{0,60}|[-+.:/0-9einaf%x,<\\[ ]{0,40}") {
        for (name, _) in values(&line) {
            prop_assert!(!name.is_empty());
        }
        comparable(&line);
    }

    #[test]
    fn what_is_printed_under_a_name_is_found_again(
        name in "[a-z]{3,8}(_[a-z]{1,5})?", value in any::<f64>().prop_filter("finite", |x| x.is_finite()),
        count in 0..10_000i64, (between, end) in prop::sample::select(vec![("=", ""), (": ", ","), (" ", " |"), ("': ", "}")]),
    ) {
        prop_assume!(!super::FILLERS.contains(&name.as_str()) && !super::WRAPPERS.contains(&name.as_str()));
        prop_assume!(!["nan", "inf"].contains(&name.as_str()));
        let found = values(&format!("seen {count}, {name}{between}{value:?}{end}"));
        prop_assert_eq!(&found[0], &("seen".to_owned(), Value::Int(count)));
        prop_assert_eq!(found.len(), 2);
        prop_assert_eq!(&found[1].0, &name);
        let Value::Float(read) = found[1].1 else { panic!("{found:?}") };
        prop_assert_eq!(read.to_bits(), value.to_bits());
    }
}
