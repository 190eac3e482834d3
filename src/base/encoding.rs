//! Python files that are not UTF-8: a line at their head says in which encoding they are (PEP 263).

/// How the bytes of a file stand for characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// One byte a character, of which those below 128 are ASCII; its name in lower case.
    SingleByte(String),
}

/// Prefixes of the names of encodings of one byte a character.
const SINGLE_BYTE: [&str; 7] = ["latin", "iso8859", "cp125", "windows125", "koi8", "mac", "cp866"];

/// The text of a file. In a single-byte encoding every byte becomes the character of its number, so that [`encode`]
/// gives the very bytes back. `None` where the bytes are not UTF-8 and the file names no encoding of this kind.
pub fn decode(bytes: Vec<u8>) -> Option<(String, Encoding)> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Some((text, Encoding::Utf8)),
        Err(error) => error.into_bytes(),
    };
    let name = declared(&bytes)?;
    let plain = name.replace(['-', '_'], "");
    let single = SINGLE_BYTE.iter().any(|prefix| plain.starts_with(prefix));
    single.then(|| (bytes.into_iter().map(char::from).collect(), Encoding::SingleByte(name)))
}

/// The bytes of a text; `None` if it holds a character that the encoding does not.
pub fn encode(text: &str, encoding: &Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Utf8 => Some(text.as_bytes().to_vec()),
        Encoding::SingleByte(_) => text.chars().map(|c| u8::try_from(c).ok()).collect(),
    }
}

/// What a comment on one of the first two lines declares: `# -*- coding: latin-1 -*-`.
fn declared(bytes: &[u8]) -> Option<String> {
    let lines = bytes.split(|byte| *byte == b'\n').take(2);
    lines.filter_map(|line| std::str::from_utf8(line).ok()).find_map(|line| {
        let comment = line.trim_start_matches([' ', '\t', '\u{c}']).strip_prefix('#')?;
        let rest = &comment[comment.find("coding")? + "coding".len()..];
        let name = rest.strip_prefix([':', '='])?.trim_start_matches([' ', '\t']);
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(name.len());
        (end > 0).then(|| name[..end].to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_declared_encoding_come_back_as_they_were() {
        for head in
            ["# -*- coding: latin-1 -*-", "#!/usr/bin/python\n# vim: fileencoding=cp1252", "# coding=ISO-8859-15"]
        {
            let bytes: Vec<u8> = head.bytes().chain(*b"\nx = '").chain(128..=255).chain(*b"'\r\n").collect();
            let (text, encoding) = decode(bytes.clone()).expect("an encoding");
            assert!(text.starts_with(head));
            assert_eq!(encode(&text, &encoding), Some(bytes));
            assert_eq!(encode("€", &encoding), None);
        }
    }

    #[test]
    fn what_declares_nothing_of_the_kind_is_not_guessed() {
        for text in ["x = '", "# coding: shift-jis\nx = '", "\n\n# coding: latin-1\nx = '", "# encoding latin-1\nx = '"]
        {
            assert_eq!(decode([text.as_bytes(), b"\xe9'"].concat()), None, "{text}");
        }
        assert_eq!(decode(b"x = 1".to_vec()), Some(("x = 1".to_owned(), Encoding::Utf8)));
    }
}
