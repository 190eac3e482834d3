//! Checkpoints as files that torch, safetensors and NumPy open without afterlog.

use crate::env::{TestProject, safetensors, torch_python};

/// Saves its own state dicts at the end of each epoch, to compare with.
const SCRIPT: &str = "\
import torch
import afterlog
torch.manual_seed(0)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.BatchNorm1d(32), torch.nn.ReLU())
        self.head = torch.nn.Linear(32, 32, bias=False)
        self.out = torch.nn.Linear(32, 32, bias=False)
        self.out.weight = self.head.weight
        self.register_buffer('scale', torch.ones(3, dtype=torch.bfloat16))
        self.register_buffer('passing', torch.ones(2), persistent=False)
    def forward(self, x):
        return self.out(self.head(self.body(x)))
model = Net()
groups = [{'params': model.body.parameters()}, {'params': model.head.parameters(), 'lr': 1e-2}]
optimizer = torch.optim.AdamW(groups, lr=1e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
history, best = [], {'loss': 1e9}
for epoch in range(4):
    for step in range(3):
        optimizer.zero_grad()
        loss = model(torch.randn(16, 8)).pow(2).mean()
        loss.backward()
        optimizer.step()
    scheduler.step()
    history.append(loss.item())
    best['loss'], best['tag'] = min(best['loss'], loss.item()), ('a', 'b')
    model.scale += 1
    torch.save({'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'scheduler': scheduler.state_dict(),
                'history': history, 'best': best}, 'saved-%d.pt' % epoch)
    afterlog.log('loss', loss.item())
";

const COMPARE: &str = "\
import sys, torch, numpy
from safetensors import safe_open
def same(path, a, b):
    if torch.is_tensor(b):
        assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b), (path, a, b)
    elif isinstance(b, dict):
        assert list(a) == list(b), (path, list(a), list(b))
        for key in b:
            same('%s.%s' % (path, key), a[key], b[key])
    elif isinstance(b, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b), (path, a, b)
        for at, (x, y) in enumerate(zip(a, b)):
            same('%s.%d' % (path, at), x, y)
    else:
        assert type(a) is type(b) and a == b, (path, a, b)
def flat(path, value, found):
    if torch.is_tensor(value):
        found[path] = value
    elif isinstance(value, dict):
        for key in value:
            flat('%s.%s' % (path, key), value[key], found)
    return found
saved = torch.load('saved-2.pt')
loaded = torch.load('state.pt', weights_only=True)
for name in ('model', 'optimizer', 'history', 'best'):
    same(name, loaded[name], dict(saved[name]) if name == 'model' else saved[name])
for name, value in saved['scheduler'].items():
    same(name, loaded['scheduler'][name], value)
assert loaded['model']['head.weight'].data_ptr() == loaded['model']['out.weight'].data_ptr()
assert loaded['epoch'] == 2 and loaded['best']['tag'] == ('a', 'b')
assert torch.equal(torch.load('named.pt', weights_only=True)['model']['head.weight'], saved['model']['head.weight'])
final, saved_last = torch.load('final.pt', weights_only=True), torch.load('saved-3.pt')
for name in ('model', 'optimizer', 'history', 'best'):
    same(name, final[name], dict(saved_last[name]) if name == 'model' else saved_last[name])
tensors = {}
for name in ('model', 'optimizer'):
    flat(name, saved[name], tensors)
arrays = numpy.load('state.npz')
with safe_open('state.safetensors', 'pt') as file:
    for path, tensor in tensors.items():
        same(path, file.get_tensor(path), tensor)
        same(path, torch.from_numpy(arrays[path]), tensor.float() if tensor.dtype is torch.bfloat16 else tensor)
    assert file.get_tensor('history').tolist() == saved['history'] == arrays['history'].tolist()
    assert file.metadata()['best.tag.1'] == 'b' == arrays['best.tag.1']
print(len(tensors), 'tensors')
";

#[test]
fn an_exported_state_is_what_the_script_itself_saved() {
    let project = TestProject::git().with_torch();
    project.write("train.py", SCRIPT);
    project.write("compare.py", COMPARE);
    project.write(".gitignore", "*.pt\n*.npz\n*.safetensors\n");
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let before = project.fingerprint();
    project.afterlog(&["checkpoint", "export", "last", "2", "-o", "state.pt"]).ok();
    let named = project.afterlog(&["checkpoint", "export", "last", "2"]).ok();
    std::fs::rename(project.path().join(named.trim()), project.path().join("named.pt")).expect("at the place it named");
    // The file's name tells the format.
    for file in ["state.npz", "state.safetensors"] {
        project.afterlog(&["checkpoint", "export", "last", "2", "-o", file]).ok();
    }
    // After the last iteration too; what its block left is not that.
    project.afterlog(&["checkpoint", "export", "last", "3", "-o", "final.pt"]).ok();
    let beyond = project.afterlog(&["checkpoint", "export", "last", "4"]);
    assert!(beyond.code == Some(1) && beyond.stderr.contains("--at blocks"), "{beyond:?}");
    project.afterlog(&["checkpoint", "export", "last", "3", "--at", "blocks", "-o", "block.pt"]).ok();
    let compared = project.command(torch_python()).arg("compare.py").env("PYTHONPATH", safetensors()).output();
    let compared = compared.expect("starts");
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let after = project.fingerprint();
    for (name, state) in before.iter().filter(|(name, _)| name.starts_with("project/") && !name.ends_with("project/")) {
        assert_eq!(after.get(name), Some(state), "{name}");
    }
}

#[test]
fn a_file_is_never_replaced_unasked_and_what_is_not_there_is_said() {
    let project = TestProject::plain();
    project.write(
        "train.py",
        "import afterlog\nw = [0.5]\nfor epoch in afterlog.loop('epoch', range(5)):\n    w.append(1.5)\n",
    );
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("w.npz", "mine");
    let export = |more: &[&str]| {
        project.afterlog(&[&["checkpoint", "export", "last", "1", "--format", "npz", "-o", "w.npz"][..], more].concat())
    };
    let refused = export(&[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("w.npz") && refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(project.read("w.npz"), "mine");
    export(&["--force"]).ok();
    assert!(std::fs::read(project.path().join("w.npz")).expect("file").starts_with(b"PK\x03\x04"));
    let listing = project.afterlog(&["checkpoint", "ls", "last", "--format", "json"]).ok();
    let listing: Vec<serde_json::Value> = serde_json::from_str(&listing).expect("JSON");
    assert!(listing.len() >= 4 && listing.iter().all(|found| found["stored_bytes"].is_u64()), "{listing:?}");
    project.afterlog(&["gc", "--runs", "last", "--keep", "2"]).ok();
    let gone = project.afterlog(&["checkpoint", "export", "last", "1"]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.stderr.contains("after iteration 1") && gone.stderr.contains("hint: there is one of"), "{gone:?}");
}
