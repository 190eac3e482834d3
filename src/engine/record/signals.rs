//! Signals while a script runs: those sent to afterlog alone reach the script; Ctrl-C it gets from the terminal itself.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};

/// Forwards signals to a process until dropped.
pub(super) struct Forwarding {
    handle: Option<Handle>,
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.close();
        }
    }
}

/// Begins forwarding. Where handlers cannot be installed, signals end afterlog as they would have; the script goes on.
pub(super) fn forward_to(process: u32) -> Forwarding {
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2]) else {
        return Forwarding { handle: None };
    };
    let handle = signals.handle();
    let pid = i32::try_from(process).map(Pid::from_raw);
    std::thread::spawn(move || {
        for number in signals.forever() {
            // The terminal sends these two to the whole foreground group, the script included.
            let from_terminal = number == SIGINT || number == SIGQUIT;
            if let (false, Ok(pid), Ok(signal)) = (from_terminal, pid, Signal::try_from(number)) {
                // It may just have ended.
                let _ = kill(pid, signal);
            }
        }
    });
    Forwarding { handle: Some(handle) }
}
