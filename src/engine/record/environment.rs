//! Which environment variables belong to a run, and are in its replays as they were: all but those of the session and the
//! place that the run was started in, and what may be a secret.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::model::run::{OtherVariables, RunMeta};

/// Those that decide how any script computes. All that runs kept once, and what is shown first.
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
/// The same, in names that the surroundings of a script set.
const ALSO_SECRETS: [&str; 3] = ["PWD", "COOKIE", "WEBHOOK"];
/// Set for each session anew.
const OURS: [&str; 1] = ["PYTHONHASHSEED"];

/// Not the run's, in capitals: a replay has today's, or none.
///
/// - The terminal, the desktop, the login, the user and the shell: they say where the run was watched, and a script that
///   starts programs needs those of today.
/// - `LD_`, and conda's but for the environment itself: with them programs start on this machine as it is now. An
///   interpreter that was moved or is replaced by another may need a folder of libraries that the run did not.
/// - Schedulers' and launchers': they describe an allocation and the other processes in it, which are not there any more.
///   What finds them waits for those, or asks the scheduler for the job. A job's place in an array stays the run's.
/// - Trackers that a replay keeps off: runs of a server that it does not ask.
/// - `_`: shells' own notes.
const PLACE_BEGINNINGS: [&str; 41] = [
    "_",
    "AFTERLOG_",
    "ALACRITTY_",
    "BASH_",
    "CLEARML_",
    "COMET_",
    "CONDA_",
    "DBUS_",
    "DYLD_",
    "GIT_",
    "GNOME_",
    "GPG_",
    "ITERM_",
    "JSM_",
    "KITTY_",
    "KONSOLE_",
    "KUBERNETES_",
    "LD_",
    "LISTEN_",
    "LMOD_",
    "LSB_",
    "MLFLOW_",
    "NEPTUNE_",
    "NVM_",
    "OMPI_",
    "PBS_",
    "PMIX_",
    "PMI_",
    "SLURM_",
    "SLURMD_",
    "SSH_",
    "SSL_CERT_",
    "SUDO_",
    "TMUX",
    "TORCHELASTIC_",
    "VSCODE_",
    "WAYLAND",
    "WEZTERM_",
    "WSL",
    "XDG_",
    "ZELLIJ",
];
const PLACE_WHOLE: [&str; 77] = [
    "ALL_PROXY",
    "BROWSER",
    "COLORFGBG",
    "COLORTERM",
    "COLUMNS",
    "DESKTOP_SESSION",
    "DISPLAY",
    "EDITOR",
    "FTP_PROXY",
    "GDMSESSION",
    "GROUP_RANK",
    "HISTCONTROL",
    "HISTFILE",
    "HISTFILESIZE",
    "HISTSIZE",
    "HOME",
    "HOST",
    "HOSTNAME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "INFOPATH",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LESS",
    "LESSCLOSE",
    "LESSHISTFILE",
    "LESSOPEN",
    "LINES",
    "LOADEDMODULES",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "LOGNAME",
    "LS_COLORS",
    "MAIL",
    "MANPATH",
    "MASTER_ADDR",
    "MODULEPATH",
    "MODULESHOME",
    "NNODES",
    "NODE_RANK",
    "NO_PROXY",
    "OLDPWD",
    "PAGER",
    "PATH",
    "PORT",
    "PROMPT_COMMAND",
    "PS1",
    "PS2",
    "PS4",
    "PWD",
    "RANK",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "SESSION_MANAGER",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "STY",
    "TERM",
    "TERMCAP",
    "TERMINFO",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TERM_SESSION_ID",
    "TMPDIR",
    "USER",
    "USERNAME",
    "VISUAL",
    "VTE_VERSION",
    "WANDB_MODE",
    "WANDB_RUN_ID",
    "WANDB_SERVICE",
    "WINDOWID",
    "WINDOWPATH",
    "WORLD_SIZE",
    "WT_SESSION",
    "XAUTHORITY",
];
/// Of processes that are there at the time, two of which cannot listen at the same port; and of certificates on this machine.
const PLACE_ENDINGS: [&str; 5] = ["_PORT", "_PID", "_SOCK", "_SOCKET", "_CA_BUNDLE"];
/// Which of many alike a run is: what a script takes its settings by.
const IN_ARRAYS: [&str; 4] = ["SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "PBS_ARRAYID", "LSB_JOBINDEX"];

/// A longer value is a document of its own, in bytes.
const LONGEST: usize = 4 << 10;
/// In capitals; where a value assigns something to one of these it holds a secret, whatever else it is.
const ASSIGNED: [&str; 8] = ["PASSWORD", "PASSWD", "PWD", "SECRET", "KEY", "TOKEN", "SIGNATURE", "&SIG"];
/// How what services hand out as keys begins.
const HANDED_OUT: [&str; 10] =
    ["ghp_", "gho_", "github_pat_", "glpat-", "hf_", "sk-", "xox", "AKIA", "Bearer ", "Basic "];
/// Such a key is no shorter, in bytes.
const SHORTEST_KEY: usize = 20;

/// Whether a variable decides how any script computes.
fn decides(name: &str) -> bool {
    let chosen = BEGINNINGS.iter().any(|start| name.starts_with(start)) || WHOLE.contains(&name);
    chosen && !sounds_secret(name) && !OURS.contains(&name)
}

/// Whether a variable may be the script's own, or a library's.
fn may_decide(name: &str) -> bool {
    let capitals = name.to_ascii_uppercase();
    let is_places = PLACE_BEGINNINGS.iter().any(|start| capitals.starts_with(start))
        || PLACE_WHOLE.contains(&&*capitals)
        || PLACE_ENDINGS.iter().any(|end| capitals.ends_with(end));
    (!is_places || IN_ARRAYS.contains(&&*capitals)) && !sounds_secret(name) && !OURS.contains(&name)
}

fn sounds_secret(name: &str) -> bool {
    let capitals = name.to_ascii_uppercase();
    SECRETS.iter().chain(&ALSO_SECRETS).any(|secret| capitals.contains(secret))
}

/// Whether a variable may hold a secret, or is too long to be kept.
pub fn may_be_secret(name: &str, value: &str) -> bool {
    sounds_secret(name) || value.len() > LONGEST || holds_secret(value)
}

/// Whether a value may hold a secret, whatever its name is.
fn holds_secret(value: &str) -> bool {
    let capitals = value.to_ascii_uppercase();
    let is_key = |start: &&str| {
        value.starts_with(*start) && value.len() >= SHORTEST_KEY && value.contains(|c: char| c.is_ascii_digit())
    };
    // As in `password=…` and in JSON.
    let is_assigned = |rest: &str| rest.trim_start_matches(['"', '\'', '\\', ' ']).starts_with(['=', ':']);
    value.contains("-----BEGIN")
        || ASSIGNED.iter().any(|word| capitals.split(word).skip(1).any(is_assigned))
        || HANDED_OUT.iter().any(is_key)
        || value.split("://").skip(1).any(names_a_user)
}

/// Whether what follows `://` begins with who asks, or with a password that is not written as it should be.
fn names_a_user(rest: &str) -> bool {
    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
    let Some((before, _)) = word.rsplit_once('@') else { return false };
    before.contains(':') || !before.contains(['/', '?', '#'])
}

/// What a run keeps of these variables: those that decide how any script computes, and the others.
pub(super) fn kept(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> (BTreeMap<String, String>, OtherVariables) {
    let (mut chosen, mut others) = (BTreeMap::new(), OtherVariables::default());
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        let is_chosen = decides(&name);
        if !is_chosen && !may_decide(&name) {
            continue;
        }
        match value.into_string() {
            Ok(value) if value.len() <= LONGEST && !holds_secret(&value) => {
                let kept = if is_chosen { &mut chosen } else { &mut others.kept };
                kept.insert(name, value);
            }
            Ok(_) | Err(_) => others.withheld.push(name),
        }
    }
    others.withheld.sort();
    (chosen, others)
}

/// Which of this process's variables a replay of the run does not have, unless the run had them itself.
pub fn not_in_replays(meta: &RunMeta) -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_runs(name, meta.others.as_ref())).collect();
    names.sort();
    names
}

/// Whether it is known of a variable what it was in the run, or that it was not there.
fn is_runs(name: &str, others: Option<&OtherVariables>) -> bool {
    let withheld = |others: &OtherVariables| others.withheld.iter().any(|withheld| withheld == name);
    match others {
        // Recorded before the others were kept: what is not in its record may have been there.
        None => decides(name),
        Some(others) => (decides(name) || may_decide(name)) && !withheld(others),
    }
}

#[cfg(test)]
mod tests {
    use super::{OtherVariables, SECRETS, decides, holds_secret, is_runs, kept, may_decide};

    #[test]
    fn names_that_sound_like_secrets_are_not_kept_however_they_are_written() {
        for name in ["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LC_ALL", "TZ"] {
            assert!(decides(name), "{name}");
        }
        for word in
            ["TOKEN", "API_KEY", "SECRET", "PASSWORD", "DB_PASSWD", "CREDENTIALS", "AUTH", "Token", "auth_header"]
        {
            assert!(!decides(&format!("TORCH_{word}")), "{word}");
            assert!(!may_decide(&format!("MY_{word}")) && !may_decide(word), "{word}");
        }
        for name in ["HOME", "WANDB_API_KEY", "PYTHONHASHSEED", "AWS_PROFILE"] {
            assert!(!decides(name), "{name}");
        }
    }

    #[test]
    fn what_a_script_may_ask_for_is_the_runs_and_what_describes_session_and_place_is_not() {
        for name in ["LR", "lr", "TEMP", "PROMPT", "HF_HOME", "SLURM_ARRAY_TASK_ID", "SGE_TASK_ID", "WANDB_PROJECT"] {
            assert!(may_decide(name), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "PWD",
            "_",
            "TERM",
            "TERM_PROGRAM",
            "SSH_CLIENT",
            "XDG_RUNTIME_DIR",
            "LD_LIBRARY_PATH",
            "CONDA_SHLVL",
            "SLURM_JOB_ID",
            "MASTER_PORT",
            "RANK",
            "AFTERLOG_FORK",
            "MLFLOW_TRACKING_URI",
            "WANDB_MODE",
            "PYTHONHASHSEED",
            "https_proxy",
            "BASH_FUNC_module%%",
        ] {
            assert!(!may_decide(name), "{name}");
        }
    }

    #[test]
    fn values_that_hold_credentials_are_secrets_whatever_their_names_are() {
        for value in [
            "postgres://ada:hunter2@db/runs",
            "a,mysql://ada:pa/ss@db",
            "https://0123abc@sentry.example.org/1",
            "host=db password=hunter2",
            "https://example.org/upload?token=abc",
            "-----BEGIN PRIVATE KEY-----\nabc",
            "ghp_0123456789abcdefghij",
            r#"{"db": {"password": "hunter2"}}"#,
        ] {
            assert!(holds_secret(value), "{value}");
        }
        for value in [
            "0.7",
            "https://example.org/a",
            "s3://bucket/run@2",
            "ada@example.org",
            "sk-learn",
            r#"{"max_tokens": 5}"#,
            "",
        ] {
            assert!(!holds_secret(value), "{value}");
        }
    }

    #[test]
    fn what_is_withheld_for_its_value_is_kept_by_name_so_that_a_replay_has_todays() {
        let long = "x".repeat(5000);
        let variables = [("LR", "0.7"), ("TZ", "UTC"), ("DB", "postgres://a:b@c"), ("LONG", &long), ("MY_KEY", "k")];
        let (chosen, others) = kept(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), [("TZ".into(), "UTC".into())]);
        let expected = OtherVariables {
            kept: [("LR".to_owned(), "0.7".to_owned())].into(),
            withheld: vec!["DB".into(), "LONG".into()],
        };
        assert_eq!(others, expected);
        for (name, is) in [("LR", true), ("TZ", true), ("NEW", true), ("DB", false), ("MY_KEY", false), ("PATH", false)]
        {
            assert_eq!(is_runs(name, Some(&others)), is, "{name}");
        }
    }

    #[test]
    fn of_a_run_that_kept_only_those_chosen_no_other_is_known() {
        assert!(is_runs("OMP_NUM_THREADS", None) && !is_runs("LR", None));
    }

    #[test]
    fn checkpoints_take_the_same_names_for_secrets() {
        let runtime = include_str!("../../../assets/runtime/afterlog/_process.py");
        let words = SECRETS.map(|word| format!("\"{word}\"")).join(", ");
        assert!(runtime.contains(&format!("\n_SECRETS = ({words})\n")), "{words}");
    }
}
