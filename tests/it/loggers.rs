//! What scripts log through wandb, MLflow, TensorBoard and tqdm: the real packages, offline.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::env::TestProject;
use crate::truth::values;

/// Logs through all of them; writes what each value was, to the bit, beside itself.
const SCRIPT: &str = "\
import argparse, dataclasses, json, os, random, threading
os.environ['MLFLOW_ALLOW_FILE_STORE'] = 'true'
import torch
import mlflow
import tensorboardX
import wandb
from mlflow import log_metric
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

@dataclasses.dataclass
class TrainConfig:
    width: int = 8
    api_key: str = 'unspeakable'

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--lr', type=float, default=0.1)
    parser.add_argument('--hub_token', default='unspeakable')
    parser.add_argument('--max_tokens', type=int, default=5)
    args = parser.parse_args()
    cfg = TrainConfig()
    torch.manual_seed(0)
    run = wandb.init(project='p', mode=os.environ.get('_MODE', 'offline'), config={'batch': 4, 'net': {'depth': 2}, 'lr': 7})
    mlflow.set_tracking_uri(os.environ.get('_STORE', 'file:mlruns'))
    mlflow.log_params({'layers': 3, 'secret_sauce': 'unspeakable'})
    writer, other = SummaryWriter('runs/a'), tensorboardX.SummaryWriter('runs/b')
    model = torch.nn.Linear(4, 1)
    opt = torch.optim.SGD(model.parameters(), lr=args.lr)
    seen = []
    for epoch in range(4):
        bar = tqdm(range(3))
        for step in bar:
            loss = model(torch.randn(8, 4)).pow(2).mean()
            opt.zero_grad(); loss.backward(); opt.step()
            wandb.log({'loss': loss.item(), 'sub': {'twice': 2 * loss.item()}})
            bar.set_postfix(loss=loss.item(), shown=f'{loss.item():.3f}', words='no number')
            seen.append(('loss', epoch, step, repr(loss.item())))
        val = model(torch.ones(3, 4)).mean()
        run.log({'val': val, 'picture': [1, 2]})
        log_metric('half', val.detach().numpy() / 2, step=epoch)
        mlflow.log_metrics({'third': val.item() / 3})
        writer.add_scalar('board/val', val, epoch)
        writer.add_scalars('many', {'a': val.item(), 'b': 2}, epoch)
        thread = threading.Thread(target=lambda: other.add_scalar('x', val.item(), epoch))
        thread.start(); thread.join()
        seen.append(('val', epoch, None, repr(val.item())))
    json.dump(seen, open('seen.json', 'w'))
    writer.close(); other.close(); run.finish()

main()
";

fn grid(project: &TestProject, names: &[&str]) -> Vec<Value> {
    let json = project.afterlog(&[&["grid"][..], names, &["--format", "json"]].concat()).ok();
    serde_json::from_str(&json).expect("JSON rows")
}

#[test]
fn what_a_script_logs_through_other_libraries_is_recorded_where_it_logs_it() {
    let project = TestProject::plain().with_loggers();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "train.py", "--lr", "0.05"]).ok();
    let seen: Vec<(String, u64, Option<u64>, String)> = serde_json::from_str(&project.read("seen.json")).expect("list");
    assert_eq!(seen.len(), 16);
    let all = ["loss", "sub.twice", "val", "half", "third", "board/val", "many/a", "x", "shown"];
    let rows = grid(&project, &all);
    // One row a step and one an epoch: nothing is there twice, though tqdm showed the loss too.
    assert_eq!(rows.len(), seen.len(), "{rows:#?}");
    for (name, epoch, step, repr) in seen {
        let at = |row: &&Value| row["epoch"].as_u64() == Some(epoch) && row["step"].as_u64() == step;
        let row = rows.iter().find(at).unwrap_or_else(|| panic!("no row of {name} at {epoch} {step:?}: {rows:#?}"));
        let value = row[&name].as_f64().expect("a number");
        let expected: f64 = repr.parse().expect("a float");
        assert_eq!(value.to_bits(), expected.to_bits(), "{name} at {epoch} {step:?}");
        if step.is_some() {
            assert_eq!(row["sub.twice"].as_f64(), Some(2.0 * value));
            assert_eq!(row["shown"].as_str(), Some(&*format!("{value:.3}")));
        } else {
            let half = |value: f32| f64::from(value / 2.0);
            #[allow(clippy::cast_possible_truncation, reason = "it was a float32")]
            let expected =
                [("half", half(value as f32)), ("third", value / 3.0), ("board/val", value), ("many/a", value)];
            for (name, expected) in expected.into_iter().chain([("x", value)]) {
                assert_eq!(row[name].as_f64().map(f64::to_bits), Some(expected.to_bits()), "{name}");
            }
        }
    }
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("arguments    lr=0.05 max_tokens=5 batch=4 net.depth=2 layers=3 width=8\n"), "{shown}");
    assert!(!shown.contains("picture") && !shown.contains("words"), "{shown}");
    let journal = std::fs::read(project.path().join(format!(".afterlog/runs/{}/events.aflj", project.run_ids()[0])));
    let journal = String::from_utf8_lossy(&journal.expect("a journal")).into_owned();
    assert!(journal.contains("max_tokens") && !journal.contains("unspeakable"));
}

#[test]
fn statements_in_the_words_of_other_libraries_get_the_values_of_a_full_run_and_nothing_is_sent_or_written() {
    let with_statements = SCRIPT.replace("'sub': {", "'norm': model.weight.grad.norm(), 'sub': {").replace(
        "        seen.append(('val'",
        "        writer.add_scalar('bias', model.bias, epoch)\n        seen.append(('val'",
    );
    let full = TestProject::plain().with_loggers();
    full.write("train.py", &with_statements);
    full.afterlog(&["run", "train.py"]).ok();
    let expected = values(&full, &["norm", "bias"]);
    assert_eq!(expected.len(), 16);

    let project = TestProject::plain().with_loggers();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", &with_statements);
    let before = project.fingerprint();
    // A replay that did what the script says would now send what it logs.
    let server = Server::start();
    let address = format!("http://127.0.0.1:{}", server.port);
    let mut replay = project.afterlog_command(&["replay", "norm", "bias", "--yes"]);
    replay.env("_MODE", "online").env("WANDB_BASE_URL", &address).env("WANDB_API_KEY", "0".repeat(40));
    let output = replay.env("_STORE", &address).output().expect("afterlog starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    assert_eq!(before, project.fingerprint(), "no event file, no offline run, nothing");
    assert_eq!(values(&project, &["norm", "bias"]), expected);
    let verdicts = project.afterlog(&["grid", "norm", "bias", "--verdicts", "--format", "csv"]).ok();
    assert_eq!(verdicts.matches("verified").count(), 16, "{verdicts} {told}");
}

/// Counts who connects.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        // Ends with the tests.
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, connections }
    }
}

#[test]
fn one_value_that_several_libraries_are_given_is_recorded_once() {
    let project = TestProject::plain().with_loggers();
    let script = "\
import afterlog
import tensorboardX, os, sys
sys.path.append('site-packages')
import threads
from tensorboardX import SummaryWriter as Writer
from tqdm import tqdm
writer = Writer('runs')
for epoch in afterlog.loop('epoch', range(3)):
    x, bar = 0.1 * epoch, tqdm(disable=True)
    for log in [lambda: bar.set_postfix(x=x), lambda: writer.add_scalar('x', x), lambda: afterlog.log('x', x)]:
        log()
    # Another value, though it has the name; and what is shown of a value that is known.
    writer.add_scalar('x', x + 1)
    bar.set_postfix(x=round(x + 1, 1))
    writer.add_scalar('same', 1.0); writer.add_scalar('same', 1.0)
    afterlog.log('own', x)
    writer.add_scalar('own', x)
    if os.fork() == 0:
        bar.set_postfix(child=x)
        os._exit(0)
    os.wait()
    writer.add_scalar('array', __import__('numpy').arange(3)[1])
    # Code whose module has no name; and a thread of a library's own.
    exec('bar.set_postfix(nameless=x)', {'__name__': None, 'bar': bar, 'x': x})
    threads.work(writer)
";
    project.write("train.py", script);
    let library = "\
from threading import Thread
def work(writer):
    thread = Thread(target=measure, args=(writer,))
    thread.start(); thread.join()
def measure(writer):
    writer.add_scalar('theirs', 1.0)
";
    project.write("site-packages/threads.py", library);
    project.afterlog(&["run", "train.py"]).ok();
    let of_first = |name: &str| -> Vec<String> {
        let cells = values(&project, &[name]).into_iter().filter(|row| row.starts_with("1,"));
        cells.map(|row| row[2..].to_owned()).collect()
    };
    assert_eq!(of_first("x"), ["0.1", "1.1"]);
    assert_eq!(of_first("own"), ["0.1"]);
    assert_eq!(of_first("same"), ["1.0", "1.0"]);
    assert_eq!(of_first("array"), ["1"]);
    assert_eq!(of_first("nameless"), ["0.1"]);
    assert_eq!(project.afterlog(&["grid", "child"]).code, Some(1));
    assert_eq!(project.afterlog(&["grid", "theirs"]).code, Some(1));
}

/// A library's call must do what it did: its result, its exception, its arguments.
#[test]
fn a_library_does_what_it_did_without_us() {
    let project = TestProject::plain().with_loggers();
    let script = "\
import inspect, pickle, sys, traceback
from tensorboardX import SummaryWriter
from tqdm import tqdm
class Odd(dict):
    def items(self):
        print('items')
        return super().items()
class Number:
    def __float__(self):
        print('asked')
        return 1.5
    def __repr__(self):
        print('shown')
        return 'Number'
writer = SummaryWriter(sys.argv[1], write_to_disk=False)
print(inspect.signature(SummaryWriter.add_scalar), SummaryWriter.add_scalar.__doc__[:30])
print(pickle.loads(pickle.dumps(SummaryWriter.add_scalar)) is SummaryWriter.add_scalar)
writer.add_scalars('odd', Odd(a=1.0))
for wrong in [lambda: writer.add_scalar(), lambda: writer.add_scalar('x', object()), lambda: tqdm.set_postfix(3)]:
    try:
        wrong()
    except Exception as error:
        print(type(error).__name__, error)
bar = tqdm(range(2), disable=True)
bar.set_postfix({'n': Number()}, k=1)
print(bar.postfix, type(bar).__mro__)
import argparse
parser = argparse.ArgumentParser()
parser.add_argument('place')
print(parser.parse_args(), parser.parse_known_args(['a', 'b']))
";
    project.write("train.py", script);
    let plain = project.run(crate::env::loggers_python(), &["train.py", "place"]).ok();
    assert_eq!(project.afterlog(&["run", "train.py", "place"]).ok(), plain);
}
