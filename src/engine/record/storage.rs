//! Where the recorders of all processes of a run put what they take: one at a time, into the same packs, so that what
//! several processes hold alike is stored once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::ids::RunId;
use crate::engine::record::priority;
use crate::engine::spawn::Checkpoints;
use crate::engine::{Error, retention};
use crate::store::chunks::{ItemKind, PackWriter, StoredBuffer};
use crate::store::layout::Layout;

/// The budget is looked at whenever so many bytes were stored, and half as often each time that it cannot be kept.
const CHECK_EVERY: u64 = 4 << 20;

/// The storage of a run that is being recorded.
pub(super) struct Storage {
    layout: Layout,
    run: RunId,
    pools: Pools,
    packs: Mutex<Packs>,
}

struct Packs {
    /// Made for the first snapshot: most scripts of a project's history never take one.
    writer: Option<PackWriter>,
    /// Bytes stored since the budget was last looked at, and to be stored until it is again.
    unchecked: u64,
    check_every: u64,
}

/// The right to put something, which nobody else has or removes meanwhile.
pub(super) struct Putting<'s> {
    writer: &'s mut PackWriter,
    pools: &'s Pools,
}

/// What hashes, compresses and writes: one thread at a time, which keeps up with training and leaves it the cores.
struct Pools {
    /// While the script runs: it gets a core where nobody else wants it.
    idle: Option<rayon::ThreadPool>,
    /// Where somebody waits for it: at the end, and a script of which every checkpoint is wanted.
    low: Option<rayon::ThreadPool>,
    is_over: AtomicBool,
}

impl Storage {
    pub(super) fn new(layout: Layout, run: RunId, checkpoints: Checkpoints) -> Self {
        let pool =
            |lower: fn()| rayon::ThreadPoolBuilder::new().num_threads(1).start_handler(move |_| lower()).build().ok();
        let idle = if checkpoints == Checkpoints::All { None } else { pool(priority::idle) };
        let pools = Pools { idle, low: pool(priority::low), is_over: AtomicBool::new(false) };
        let packs = Mutex::new(Packs { writer: None, unchecked: 0, check_every: CHECK_EVERY });
        Self { layout, run, pools, packs }
    }

    /// From now on somebody waits for what is still to be stored.
    pub(super) fn script_ended(&self) {
        self.pools.is_over.store(true, Ordering::SeqCst);
    }

    fn packs(&self) -> MutexGuard<'_, Packs> {
        // A recorder that panicked left packs behind that are sound up to what it had put whole.
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else puts or removes anything, and keeps it so during `work`, at whose end a journal has to name
    /// what was put.
    ///
    /// # Errors
    /// If the packs cannot be read or locked, or with what `work` gives.
    pub(super) fn put<T>(&self, work: impl FnOnce(&mut Putting<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let mut packs = self.packs();
        let writer = match &mut packs.writer {
            Some(writer) => writer,
            none => none.insert(PackWriter::create(&self.layout, self.run.as_str())?),
        };
        let _lock = writer.begin()?;
        work(&mut Putting { writer, pools: &self.pools })
    }

    /// Sees to it, every now and then, that a long run does not exceed the budget before it ends; gives what went wrong.
    ///
    /// # Errors
    /// If the disk refuses what was put before.
    pub(super) fn keep_budget(&self, added: u64) -> Result<Option<String>, Error> {
        let mut packs = self.packs();
        packs.unchecked += added;
        if packs.unchecked < packs.check_every {
            return Ok(None);
        }
        packs.unchecked = 0;
        let is_kept = || retention::exceeds(&self.layout).is_ok_and(|budget| budget.is_none());
        if is_kept() {
            return Ok(None);
        }
        if let Some(writer) = &mut packs.writer {
            writer.close_pack()?;
        }
        let problem = retention::automatic(&self.layout, Some(self.run.clone()))
            .err()
            .map(|error| format!("checkpoints were not kept within the budget: {error}"));
        if !is_kept() {
            packs.check_every *= 2;
        }
        Ok(problem)
    }
}

impl Putting<'_> {
    /// As [`PackWriter::put`].
    pub(super) fn put(
        &mut self,
        bytes: &[u8],
        kind: ItemKind,
        before: Option<&StoredBuffer>,
    ) -> Result<(StoredBuffer, u64), Error> {
        Ok(self.pools.run(|| self.writer.put(bytes, kind, before))?)
    }

    /// Has what was put survive a power cut.
    pub(super) fn sync(&self) -> Result<(), Error> {
        Ok(self.writer.sync()?)
    }
}

impl Pools {
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let idle = self.idle.as_ref().filter(|_| !self.is_over.load(Ordering::SeqCst));
        match idle.or(self.low.as_ref()) {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}
