//! Trees that no file has room for.

use super::marshal::Data;
use super::value::{Reader, Value};

/// As `marshal.dumps(…, 2)`.
fn dumps(data: &Data) -> Vec<u8> {
    let number = |tag: u8, number: usize| [&[tag][..], &u32::try_from(number).expect("small").to_le_bytes()].concat();
    let all = |items: &[Data]| items.iter().flat_map(dumps).collect::<Vec<u8>>();
    match data {
        Data::Int(value) => number(b'i', usize::try_from(*value).expect("positive")),
        Data::Text(text) => [number(b'u', text.len()), text.clone().into_bytes()].concat(),
        Data::Bytes(bytes) => [number(b's', bytes.len()), bytes.clone()].concat(),
        Data::Tuple(items) => [number(b'(', items.len()), all(items)].concat(),
        Data::List(items) => [number(b'[', items.len()), all(items)].concat(),
        Data::Dict(entries) => {
            let entries = entries.iter().flat_map(|(key, value)| [dumps(key), dumps(value)].concat());
            [b"{".to_vec(), entries.collect(), b"0".to_vec()].concat()
        }
        _ => b"N".to_vec(),
    }
}

fn text(text: &str) -> Data {
    Data::Text(text.to_owned())
}

fn list(number: i64, items: Vec<Data>) -> Data {
    Data::Tuple(vec![text("list"), Data::Int(number), Data::None, Data::List(items)])
}

/// Reads a variable that is a list of numbered lists, each of references to the one with the next number.
fn read(lists: i64, references: usize) -> (Vec<(String, Value)>, Vec<String>) {
    let reference = |number| Data::Tuple(vec![text("ref"), Data::None, Data::Int(number)]);
    let one = |number| list(number, vec![reference(number + 1); references]);
    let end = list(lists + 1, vec![Data::Int(7)]);
    let tree = list(0, (1..=lists).map(one).chain([end]).collect());
    let variable = Data::Tuple(vec![Data::Bytes(dumps(&tree)), Data::List(Vec::new())]);
    let skeleton = dumps(&Data::Dict(vec![(text("v"), variable)]));
    let mut reader = Reader::new(&skeleton, Vec::new()).expect("a tree");
    (reader.variables(), reader.left_out)
}

#[test]
fn what_objects_share_stands_at_each_place_that_refers_to_it() {
    let (variables, left_out) = read(2, 2);
    let end = Value::List(vec![Value::Int(7)]);
    let twice = |value: &Value| Value::List(vec![value.clone(), value.clone()]);
    let inner = twice(&end);
    assert_eq!(variables, [("v".to_owned(), Value::List(vec![twice(&inner), inner, end]))]);
    assert_eq!(left_out, [""; 0]);
}

#[test]
fn what_would_take_room_without_end_or_stand_too_deep_is_left_out() {
    for (lists, references) in [(24, 2), (5000, 1)] {
        let (variables, left_out) = read(lists, references);
        assert!(variables.len() == 1 && !left_out.is_empty(), "{lists} lists");
    }
}
