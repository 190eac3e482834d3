//! Propagation: realistic script pairs, long files, and many versions of one script.

use std::fs;
use std::path::Path;
use std::time::Duration;

use afterlog::analysis::propagate::propagate_missing;
use rayon::prelude::*;

use crate::{Row, measure, target};

const ROUNDS: usize = 5;
const VERSIONS: usize = 500;

pub(crate) fn speed() -> Vec<Row> {
    let scripts: Vec<(String, String)> = demo_pairs();
    let times: Vec<f64> = scripts.iter().map(|(source, target)| millis(propagation(source, target))).collect();
    let (count, most) = (times.len(), times.iter().copied().fold(0.0, f64::max));
    let median = measure::median(times);
    let (long, other) = (script(28, 0), script(28, 7));
    let lines = other.lines().count();
    let of_long = millis(propagation(&long, &other));
    let source = script(5, 0);
    let versions: Vec<String> = (1..=VERSIONS).map(|version| script(5, version)).collect();
    let of_versions =
        measure::median((0..3).map(|_| measure::time(|| place_into_all(&source, &versions)).0.as_secs_f64()).collect());
    vec![
        Row {
            what: format!("propagate: median of {count} pairs of scripts of 80 to 120 lines (longest {most:.1} ms)"),
            figure: format!("{median:.1} ms"),
            target: target("≤ 10 ms", median <= 10.0),
        },
        Row {
            what: format!("propagate: a file of {lines} lines into a version of it (median of {ROUNDS})"),
            figure: format!("{of_long:.0} ms"),
            target: target("≤ 300 ms", of_long <= 300.0),
        },
        Row {
            what: format!("propagate: {VERSIONS} versions of {} lines, all cores", source.lines().count()),
            figure: format!("{of_versions:.2} s"),
            target: target("≤ 2 s", of_versions <= 2.0),
        },
    ]
}

fn place_into_all(source: &str, versions: &[String]) {
    versions.par_iter().for_each(|version| assert!(placed(source, version) > 0));
}

fn placed(source: &str, target: &str) -> usize {
    propagate_missing(source, target).placements.iter().filter(|placement| placement.status.is_placed()).count()
}

fn propagation(source: &str, target: &str) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| measure::time(|| placed(source, target)).0).collect();
    times.sort();
    times[ROUNDS / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The demo's versions, each with a further statement at the end of its epoch, into each other.
fn demo_pairs() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let names = ["train_1.py", "train_2.py", "train_3.py", "train_4.py", "train_hindsight.py"];
    let texts: Vec<String> =
        names.iter().map(|name| fs::read_to_string(folder.join(name)).expect("a demo script")).collect();
    let probed = |text: &str| {
        let (before, after) = text.split_once("afterlog.log(\"val_acc\"").expect("a log of the accuracy");
        let indent = before.rsplit('\n').next().unwrap_or_default();
        format!("{before}afterlog.log(\"probe\", epoch + 1)\n{indent}afterlog.log(\"val_acc\"{after}")
    };
    let pairs = texts.iter().flat_map(|source| texts.iter().map(move |target| (source, target)));
    pairs.filter(|(source, target)| source != target).map(|(source, target)| (probed(source), target.clone())).collect()
}

/// A script of `parts` models and their training, about 55 lines each, as it was in a version: names, order, arguments
/// and statements differ from version to version. Only version 0 logs what the others lack.
fn script(parts: usize, version: usize) -> String {
    let mut text = String::from("import afterlog\nimport torch\nimport torch.nn as nn\nfrom data import loaders\n\n");
    for part in 0..parts {
        let seed = (version * 31 + part * 17) % 11;
        let old = version > 0;
        let (model, rate) = (if old && seed == 3 { "net" } else { "model" }, if seed == 5 { "3e-4" } else { "1e-3" });
        let mut lines = PART.replace("{model}", model).replace("{rate}", rate);
        lines = lines.replace("{part}", &part.to_string()).replace("{hidden}", &(32 + part).to_string());
        if old {
            let kept = |line: &&str| !(line.contains("grad_norm") || seed == 7 && line.contains("schedule"));
            lines = lines.split_inclusive('\n').filter(kept).collect();
            if seed % 4 == 1 {
                lines = lines.replace("loss.backward()", "(loss / 2).backward()");
            }
            if seed % 5 == 2 {
                lines = lines.replace("epochs=10", "epochs=10, clip=1.0");
            }
        }
        text.push_str(&lines);
    }
    text
}

const PART: &str = r#"
class Net{part}(nn.Module):
    """A small network."""

    def __init__(self, width={hidden}, depth=2, dropout=0.1):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, {part} + 2)

    def forward(self, x):
        x = torch.relu(self.embed(x))
        for layer in self.layers:
            x = self.dropout(torch.relu(layer(x)))
        return self.head(x)


def evaluate_{part}({model}, loader):
    {model}.eval()
    correct, seen = 0, 0
    with torch.no_grad():
        for inputs, labels in loader:
            outputs = {model}(inputs)
            correct += (outputs.argmax(1) == labels).sum().item()
            seen += len(labels)
    {model}.train()
    return correct / seen


def train_{part}(epochs=10, rate={rate}):
    {model} = Net{part}()
    train_loader, test_loader = loaders({part})
    optimizer = torch.optim.AdamW({model}.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    criterion = nn.CrossEntropyLoss()
    best = 0.0
    for epoch in range(epochs):
        total, steps = 0.0, 0
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            outputs = {model}(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
            steps += 1
        schedule.step()
        accuracy = evaluate_{part}({model}, test_loader)
        best = max(best, accuracy)
        afterlog.log("loss_{part}", total / steps)
        afterlog.log("accuracy_{part}", accuracy)
        afterlog.log("grad_norm_{part}", sum(p.grad.norm() ** 2 for p in {model}.parameters()) ** 0.5)
    return best
"#;
