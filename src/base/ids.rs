//! Ids: short, sortable by time, unique within a store.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Crockford's base 32 in lower case: no i, l, o, u, so that an id can be read aloud and typed.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 2020-01-01, so that six digits of seconds last until 2054.
const EPOCH_SECONDS: u64 = 1_577_836_800;
const LENGTH: usize = 10;

/// Six digits of seconds, two of 1/1024 s, two random: ids made in this order sort in this order.
fn generate() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs().saturating_sub(EPOCH_SECONDS) & 0x3fff_ffff;
    let fraction = u64::from(now.subsec_nanos()) * 1024 / 1_000_000_000;
    let mut random = [0_u8; 2];
    // Without a source of randomness the process id still tells two recorders apart.
    if std::fs::File::open("/dev/urandom").and_then(|mut f| std::io::Read::read_exact(&mut f, &mut random)).is_err() {
        random = [std::process::id().to_le_bytes()[0], std::process::id().to_le_bytes()[1]];
    }
    let bits = (seconds << 20) | (fraction << 10) | (u64::from(u16::from_le_bytes(random)) & 0x3ff);
    (0..LENGTH).rev().map(|i| char::from(ALPHABET[usize::from((bits >> (5 * i)).to_le_bytes()[0] & 31)])).collect()
}

/// Text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an id: ten characters of 0-9 and a-z without i, l, o, u")]
pub struct BadId(pub String);

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new id, later than every id made before it by this clock.
            pub fn generate() -> Self {
                Self(generate())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let valid = text.len() == LENGTH && text.bytes().all(|b| ALPHABET.contains(&b));
                if valid { Ok(Self(text.to_owned())) } else { Err(BadId(text.to_owned())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id_type! {
    /// A recorded run. Changes with every execution, even of the same code and arguments.
    RunId
}
id_type! {
    /// A replay job. Changes with every confirmed plan.
    JobId
}

#[cfg(test)]
mod tests {
    use super::RunId;

    #[test]
    fn ids_parse_back_and_reject_other_text() {
        let id = RunId::generate();
        assert_eq!(id.as_str().parse::<RunId>(), Ok(id));
        for bad in ["", "short", "../../../x", "ABCDEFGHJK", "0123456789a"] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let first = RunId::generate();
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(first < RunId::generate());
    }
}
