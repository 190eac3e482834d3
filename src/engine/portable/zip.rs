//! Zip files of uncompressed members, as torch and NumPy write theirs.

use std::collections::HashSet;
use std::io::{Seek, Write};

use zip::CompressionMethod::Stored;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;

/// Torch maps members into memory where they begin at a multiple of this, as in its own files.
const ALIGNMENT: u16 = 64;
/// From here on a member needs sizes of 64 bits.
const LARGE_BYTES: usize = 0xffff_ffff;

/// Written in order; [`Zip::finish`] makes it a file that opens.
pub(super) struct Zip<W: Write + Seek> {
    writer: zip::ZipWriter<W>,
    names: HashSet<String>,
}

impl<W: Write + Seek> Zip<W> {
    pub(super) fn new(out: W) -> Self {
        Self { writer: zip::ZipWriter::new(out), names: HashSet::new() }
    }

    /// Whether a member can have this name: no other has it, the format has room for it, and whoever unpacks the file gets
    /// nothing outside the folder of his choice.
    pub(super) fn takes(&self, name: &str) -> bool {
        let leads_out = name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..");
        name.len() <= usize::from(u16::MAX) && !leads_out && !name.contains('\0') && !self.names.contains(name)
    }

    /// Adds a member that consists of these pieces.
    pub(super) fn add(&mut self, name: &str, pieces: &[&[u8]]) -> ZipResult<()> {
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        // The default date, so that equal states give equal files.
        let options = SimpleFileOptions::default().compression_method(Stored).with_alignment(ALIGNMENT);
        self.names.insert(name.to_owned());
        self.writer.start_file(name, options.large_file(size >= LARGE_BYTES))?;
        Ok(pieces.iter().try_for_each(|piece| self.writer.write_all(piece))?)
    }

    pub(super) fn finish(self) -> ZipResult<()> {
        Ok(self.writer.finish()?.flush()?)
    }
}
