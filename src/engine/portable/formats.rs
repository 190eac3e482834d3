//! The three formats: torch's (`torch.load(…, weights_only=True)`), safetensors, and NumPy's npz.

use std::collections::{HashMap, HashSet};
use std::io::{self, Seek, Write};
use std::rc::Rc;

use super::kinds;
use super::value::{Tensor, Value, word};
use super::zip::Zip;

/// Writes what torch loads as a dict of these variables. Gives the paths of what it has no form for.
pub(super) fn write_pt(out: impl Write + Seek, variables: &[(String, Value)]) -> io::Result<Vec<String>> {
    let mut pickle = Pickle { bytes: vec![0x80, 2], storages: Vec::new(), known: HashMap::new(), left_out: Vec::new() };
    let entries = variables.iter().map(|(name, value)| (Value::Text(name.clone()), value.clone())).collect();
    pickle.value(&Value::Dict(entries), "");
    pickle.bytes.push(b'.');
    let mut zip = Zip::new(out);
    zip.add("archive/data.pkl", &[&pickle.bytes])?;
    zip.add("archive/byteorder", &[b"little"])?;
    for (number, tensor) in pickle.storages.iter().enumerate() {
        zip.add(&format!("archive/data/{number}"), &[&tensor.bytes])?;
    }
    zip.add("archive/version", &[b"3\n"])?;
    zip.finish()?;
    Ok(pickle.left_out)
}

/// Writes the opcodes of pickle's protocol 2 that torch's own files have.
struct Pickle {
    bytes: Vec<u8>,
    storages: Vec<Rc<Tensor>>,
    known: HashMap<*const Tensor, usize>,
    left_out: Vec<String>,
}

impl Pickle {
    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn int(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(number) => {
                self.bytes.push(b'J');
                self.bytes.extend(number.to_le_bytes());
            }
            Err(_) => {
                self.bytes.extend([0x8a, 8]);
                self.bytes.extend(number.to_le_bytes());
            }
        }
    }

    fn sequence(&mut self, begin: &[u8], end: u8, items: &[Value], path: &str) {
        self.bytes.extend(begin);
        for (at, item) in items.iter().enumerate() {
            self.value(item, &format!("{path}.{at}"));
        }
        self.bytes.push(end);
    }

    fn value(&mut self, value: &Value, path: &str) {
        match value {
            Value::None => self.bytes.push(b'N'),
            Value::Bool(value) => self.bytes.push(if *value { 0x88 } else { 0x89 }),
            Value::Int(number) => self.int(*number),
            Value::Float(number) => {
                self.bytes.push(b'G');
                self.bytes.extend(number.to_be_bytes());
            }
            Value::Text(text) => self.text(text),
            Value::List(items) => self.sequence(b"](", b'e', items, path),
            Value::Tuple(items) => self.sequence(b"(", b't', items, path),
            Value::Dict(items) => {
                self.bytes.extend(b"}(");
                for (key, item) in items {
                    self.value(key, path);
                    self.value(item, &format!("{path}.{}", word(key)));
                }
                self.bytes.push(b'u');
            }
            Value::Tensor(tensor) => self.tensor(tensor, path),
        }
    }

    /// `torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`.
    fn tensor(&mut self, tensor: &Rc<Tensor>, path: &str) {
        let wide = widened(tensor).map(Rc::new);
        let tensor = wide.as_ref().unwrap_or(tensor);
        let kind = kinds::find(&tensor.kind);
        let Some((kind, storage)) = kind.and_then(|kind| Some((kind, kind.storage?))) else {
            self.left_out.push(path.trim_start_matches('.').to_owned());
            return self.bytes.push(b'N');
        };
        let next = self.storages.len();
        let number = if wide.is_some() { next } else { *self.known.entry(Rc::as_ptr(tensor)).or_insert(next) };
        if number == next {
            self.storages.push(tensor.clone());
        }
        self.bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.bytes.extend(format!("ctorch\n{storage}\n").as_bytes());
        self.text(&number.to_string());
        self.text("cpu");
        self.int((tensor.bytes.len() as u64 / kind.size).cast_signed());
        self.bytes.extend(b"tQ");
        self.int(0);
        self.bytes.push(b'(');
        tensor.shape.iter().for_each(|size| self.int(size.cast_signed()));
        self.bytes.extend(b"t(");
        strides(&tensor.shape).iter().for_each(|stride| self.int(stride.cast_signed()));
        self.bytes.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
}

/// Unsigned numbers that torch's files have no name for (NumPy's generator has some) as signed ones that hold them.
fn widened(tensor: &Tensor) -> Option<Tensor> {
    let (size, kind, wide) = match tensor.kind.as_str() {
        "<u2" | "torch.uint16" => (2, "torch.int32", 4),
        "<u4" | "torch.uint32" => (4, "torch.int64", 8),
        _ => return None,
    };
    let more = vec![0; wide - size];
    let bytes = tensor.bytes.chunks_exact(size).flat_map(|number| [number, &more].concat()).collect();
    Some(Tensor { kind: kind.to_owned(), shape: tensor.shape.clone(), bytes })
}

/// Of numbers in C order, counted in numbers.
fn strides(shape: &[u64]) -> Vec<u64> {
    let mut strides = vec![1; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at] * shape[at].max(1);
    }
    strides
}

/// Variables as tensors under their paths; what is text, or nothing, stands beside them.
struct Flat {
    tensors: Vec<(String, Rc<Tensor>)>,
    words: Vec<(String, String)>,
}

fn flatten(variables: &[(String, Value)]) -> Flat {
    let mut flat = Flat { tensors: Vec::new(), words: Vec::new() };
    variables.iter().for_each(|(name, value)| flat.take(name, value));
    flat
}

impl Flat {
    fn tensor(&mut self, path: &str, kind: &str, shape: Vec<u64>, bytes: Vec<u8>) {
        self.tensors.push((path.to_owned(), Rc::new(Tensor { kind: kind.to_owned(), shape, bytes })));
    }

    fn take(&mut self, path: &str, value: &Value) {
        match value {
            Value::None => self.words.push((path.to_owned(), "None".to_owned())),
            Value::Text(text) => self.words.push((path.to_owned(), text.clone())),
            Value::Bool(value) => self.tensor(path, "torch.bool", Vec::new(), vec![u8::from(*value)]),
            Value::Int(number) => self.tensor(path, "<i8", Vec::new(), number.to_le_bytes().to_vec()),
            Value::Float(number) => self.tensor(path, "<f8", Vec::new(), number.to_le_bytes().to_vec()),
            Value::Tensor(tensor) => self.tensors.push((path.to_owned(), tensor.clone())),
            Value::Dict(items) => {
                items.iter().for_each(|(key, item)| self.take(&format!("{path}.{}", word(key)), item));
            }
            Value::List(items) | Value::Tuple(items) => self.sequence(path, items),
        }
    }

    /// Numbers of one kind are one array; anything else stands under its place.
    fn sequence(&mut self, path: &str, items: &[Value]) {
        let ints = items.iter().map(|item| if let Value::Int(number) = item { Some(*number) } else { None });
        let floats = items.iter().map(|item| if let Value::Float(number) = item { Some(*number) } else { None });
        let shape = vec![items.len() as u64];
        if let Some(ints) = ints.collect::<Option<Vec<i64>>>() {
            self.tensor(path, "<i8", shape, ints.iter().flat_map(|number| number.to_le_bytes()).collect());
        } else if let Some(floats) = floats.collect::<Option<Vec<f64>>>() {
            self.tensor(path, "<f8", shape, floats.iter().flat_map(|number| number.to_le_bytes()).collect());
        } else {
            items.iter().enumerate().for_each(|(at, item)| self.take(&format!("{path}.{at}"), item));
        }
    }
}

/// Writes an npz. Gives the paths of what it has no form for.
pub(super) fn write_npz(out: impl Write + Seek, variables: &[(String, Value)]) -> io::Result<Vec<String>> {
    let flat = flatten(variables);
    let mut zip = Zip::new(out);
    let mut left_out = Vec::new();
    for (path, tensor) in &flat.tensors {
        let name = format!("{path}.npy");
        if !zip.takes(&name) {
            left_out.push(path.clone());
            continue;
        }
        match kinds::find(&tensor.kind).map(|kind| kind.npy) {
            Some(Some(npy)) => zip.add(&name, &[&npy_header(npy, &tensor.shape), &tensor.bytes])?,
            Some(None) if tensor.kind == "torch.bfloat16" => {
                let wide: Vec<u8> = tensor.bytes.chunks_exact(2).flat_map(|half| [0, 0, half[0], half[1]]).collect();
                zip.add(&name, &[&npy_header("<f4", &tensor.shape), &wide])?;
            }
            _ => left_out.push(path.clone()),
        }
    }
    for (path, text) in &flat.words {
        let name = format!("{path}.npy");
        if !zip.takes(&name) {
            left_out.push(path.clone());
            continue;
        }
        let points: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let kind = format!("<U{}", text.chars().count().max(1));
        // NumPy knows no text of no characters.
        let points = if points.is_empty() { vec![0; 4] } else { points };
        zip.add(&name, &[&npy_header(&kind, &[]), &points])?;
    }
    zip.finish()?;
    Ok(left_out)
}

fn npy_header(kind: &str, shape: &[u64]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    // Magic, version and length take 10 bytes; data begins at a multiple of 64.
    let padding = 63 - (10 + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat()
}

/// Writes a safetensors file; text stands in its metadata. Gives the paths of what it has no form for.
pub(super) fn write_safetensors(mut out: impl Write, variables: &[(String, Value)]) -> io::Result<Vec<String>> {
    let flat = flatten(variables);
    let mut left_out = Vec::new();
    let mut found = Vec::new();
    let mut names = HashSet::new();
    for (path, tensor) in &flat.tensors {
        match kinds::find(&tensor.kind).and_then(|kind| Some((kind.safetensors?, kind.size))) {
            // Of two keys that read the same (`1` and `"1"`) the first counts.
            Some((name, size)) if names.insert(path) => found.push((path, name, size, tensor)),
            _ => left_out.push(path.clone()),
        }
    }
    // The widest first, as the format's own writer orders them, so that each is aligned.
    found.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(b.0)));
    let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().chain(flat.words);
    let metadata: serde_json::Map<_, _> = metadata.map(|(path, text)| (path, text.into())).collect();
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), metadata.into());
    let mut at = 0_u64;
    for (path, name, _, tensor) in &found {
        let end = at + tensor.bytes.len() as u64;
        let entry = serde_json::json!({ "dtype": name, "shape": tensor.shape, "data_offsets": [at, end] });
        header.insert((*path).clone(), entry);
        at = end;
    }
    let mut header = serde_json::Value::Object(header).to_string();
    header.push_str(&" ".repeat((8 - header.len() % 8) % 8));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    found.iter().try_for_each(|(_, _, _, tensor)| out.write_all(&tensor.bytes))?;
    out.flush()?;
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{Value, write_npz, write_safetensors};

    #[test]
    fn what_has_no_safe_name_of_its_own_in_the_file_is_left_out_and_the_rest_is_written() {
        let entry = |key: Value| (key, Value::Float(0.5));
        let text = |text: &str| Value::Text(text.to_owned());
        let long = "n".repeat(70_000);
        let bad = ["/../up", "a/../../up", "\0", &long];
        let keys = bad.iter().map(|key| entry(text(key))).chain([entry(Value::Int(1)), entry(text("1"))]);
        let variables = [
            ("d".to_owned(), Value::Dict(keys.collect())),
            ("/etc/x".to_owned(), text("word")),
            ("w".to_owned(), text("x")),
        ];
        let mut out = Cursor::new(Vec::new());
        let left_out = write_npz(&mut out, &variables).expect("written");
        assert_eq!(left_out.len(), 6, "{left_out:.40?}");
        assert!(left_out.contains(&"d.1".to_owned()) && left_out.contains(&"/etc/x".to_owned()));
        let written = zip::ZipArchive::new(out).expect("a zip file");
        let mut names: Vec<_> = written.file_names().collect::<Result<_, _>>().expect("names");
        names.sort_unstable();
        assert_eq!(names, ["d.1.npy", "w.npy"]);
        assert_eq!(write_safetensors(Vec::new(), &variables).expect("written"), ["d.1"]);
    }
}
