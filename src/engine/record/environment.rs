//! Which environment variables belong to a run: those that decide how a script computes, and nothing that may be a secret.

use std::collections::BTreeMap;

const BEGINNINGS: [&str; 12] = [
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "VECLIB_",
    "NUMEXPR_",
    "CUDA_",
    "CUBLAS_",
    "NCCL_",
    "TORCH_",
    "PYTORCH_",
    "PYTHON",
    "LC_",
];
const WHOLE: [&str; 5] = ["LANG", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX", "KMP_AFFINITY"];
/// Parts of names, in capitals, whatever the name's own letters are.
const SECRETS: [&str; 6] = ["TOKEN", "KEY", "SECRET", "PASS", "CREDENTIAL", "AUTH"];
/// Set for each session anew.
const OURS: [&str; 1] = ["PYTHONHASHSEED"];

/// Whether a variable of this name is kept with a run, and in a replay is as it was in the run, or not there.
pub fn decides(name: &str) -> bool {
    let chosen = BEGINNINGS.iter().any(|start| name.starts_with(start)) || WHOLE.contains(&name);
    let capitals = name.to_ascii_uppercase();
    chosen && !SECRETS.iter().any(|secret| capitals.contains(secret)) && !OURS.contains(&name)
}

/// Those of this process.
pub(super) fn selected() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| decides(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{SECRETS, decides};

    #[test]
    fn names_that_sound_like_secrets_are_not_kept_however_they_are_written() {
        for name in ["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LC_ALL", "TZ"] {
            assert!(decides(name), "{name}");
        }
        for word in
            ["TOKEN", "API_KEY", "SECRET", "PASSWORD", "DB_PASSWD", "CREDENTIALS", "AUTH", "Token", "auth_header"]
        {
            assert!(!decides(&format!("TORCH_{word}")), "{word}");
        }
        for name in ["HOME", "WANDB_API_KEY", "PYTHONHASHSEED", "AWS_PROFILE"] {
            assert!(!decides(name), "{name}");
        }
    }

    #[test]
    fn checkpoints_take_the_same_names_for_secrets() {
        let runtime = include_str!("../../../assets/runtime/afterlog/_process.py");
        let words = SECRETS.map(|word| format!("\"{word}\"")).join(", ");
        assert!(runtime.contains(&format!("\n_SECRETS = ({words})\n")), "{words}");
    }
}
