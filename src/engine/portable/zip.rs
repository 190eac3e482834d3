//! Zip files of uncompressed members, as torch and NumPy write theirs.

use std::io::{Seek, Write};

use zip::CompressionMethod::Stored;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;

/// Torch maps members into memory where they begin at a multiple of this, as in its own files.
const ALIGNMENT: u16 = 64;
/// From here on a member needs sizes of 64 bits.
const LARGE_BYTES: usize = 0xffff_ffff;

/// Written in order; [`Zip::finish`] makes it a file that opens.
pub(super) struct Zip<W: Write + Seek>(zip::ZipWriter<W>);

impl<W: Write + Seek> Zip<W> {
    pub(super) fn new(out: W) -> Self {
        Self(zip::ZipWriter::new(out))
    }

    /// Adds a member that consists of these pieces.
    pub(super) fn add(&mut self, name: &str, pieces: &[&[u8]]) -> ZipResult<()> {
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        // The default date, so that equal states give equal files.
        let options = SimpleFileOptions::default().compression_method(Stored).with_alignment(ALIGNMENT);
        self.0.start_file(name, options.large_file(size >= LARGE_BYTES))?;
        Ok(pieces.iter().try_for_each(|piece| self.0.write_all(piece))?)
    }

    pub(super) fn finish(self) -> ZipResult<()> {
        Ok(self.0.finish()?.flush()?)
    }
}
