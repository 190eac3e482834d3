//! Work that somebody waits for: whether they still do, and how far it is.

/// What is being gone through, and how much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub of: Part,
    pub done: usize,
    pub all: usize,
}

/// What is gone through one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Different texts of scripts, into which statements are placed.
    Placing,
    /// Different scripts with statements in them, which are analysed.
    Analysing,
    /// Runs, of which it is gathered what they left behind.
    Gathering,
}

/// Whoever waits for some work.
#[derive(Clone, Copy)]
pub struct Waiting<'a> {
    outdated: &'a (dyn Fn() -> bool + Sync),
    tell: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Waiting<'a> {
    /// Waits for as long as it is not `outdated`, and is told now and then how far the work is.
    pub fn new(outdated: &'a (dyn Fn() -> bool + Sync), tell: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { outdated, tell }
    }

    /// Whether nobody waits any more.
    pub fn is_over(&self) -> bool {
        (self.outdated)()
    }

    /// Says that so many of all are done.
    pub fn tell(&self, of: Part, done: usize, all: usize) {
        (self.tell)(Progress { of, done, all });
    }
}

impl Waiting<'static> {
    /// Waits to the end, and does not ask.
    pub fn patiently() -> Self {
        Self { outdated: &|| false, tell: &|_| {} }
    }
}
