//! Zip files of uncompressed members, as torch and NumPy write theirs; beyond 4 GB in the 64-bit form.

use std::io::{self, Write};

/// Written in order; [`Zip::finish`] makes it a file that opens.
pub(super) struct Zip<W> {
    out: W,
    at: u64,
    members: Vec<Member>,
}

struct Member {
    name: String,
    crc: u32,
    size: u64,
    offset: u64,
}

/// 1980-01-01, so that equal states give equal files.
const DATE: [u8; 4] = [0, 0, 0x21, 0];
const BIG: u64 = 0xffff_ffff;

fn short(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes()
}

/// The extra field with those numbers that need 64 bits.
fn extra(numbers: &[u64]) -> Vec<u8> {
    let mut extra = [1_u16.to_le_bytes(), u16::try_from(numbers.len() * 8).unwrap_or(0).to_le_bytes()].concat();
    numbers.iter().for_each(|number| extra.extend(number.to_le_bytes()));
    if numbers.is_empty() { Vec::new() } else { extra }
}

impl<W: Write> Zip<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, at: 0, members: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Adds a member that consists of these pieces.
    pub(super) fn add(&mut self, name: &str, pieces: &[&[u8]]) -> io::Result<()> {
        let mut hasher = crc32fast::Hasher::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        let size = pieces.iter().map(|piece| piece.len() as u64).sum();
        let member = Member { name: name.to_owned(), crc: hasher.finalize(), size, offset: self.at };
        let wide = if size >= BIG { extra(&[size, size]) } else { Vec::new() };
        self.header(b"PK\x03\x04", &[], &member, &wide)?;
        self.write(name.as_bytes())?;
        self.write(&wide)?;
        pieces.iter().try_for_each(|piece| self.write(piece))?;
        self.members.push(member);
        Ok(())
    }

    /// What local headers and the directory have in common.
    fn header(&mut self, sign: &[u8], made_by: &[u8], member: &Member, extra: &[u8]) -> io::Result<()> {
        // Version 4.5 for the 64-bit form; flag 0x800: names are UTF-8; method 0.
        let fixed = [sign, made_by, &[45, 0, 0, 8, 0, 0], &DATE, &member.crc.to_le_bytes()].concat();
        self.write(&fixed)?;
        let sizes = [short(member.size.min(BIG)), short(member.size.min(BIG))].concat();
        self.write(&[&sizes[..], &length(member.name.as_bytes()), &length(extra)].concat())
    }

    /// Writes the directory; gives what was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let (start, members) = (self.at, std::mem::take(&mut self.members));
        for member in &members {
            let wide = [member.size, member.size, member.offset];
            let wide: Vec<u64> = if member.size >= BIG { wide.to_vec() } else { wide[2..].to_vec() };
            let needs = member.size >= BIG || member.offset >= BIG;
            let offset = if needs { BIG } else { member.offset };
            let extra = if needs { extra(&wide) } else { Vec::new() };
            self.header(b"PK\x01\x02", &[45, 0], member, &extra)?;
            // No comment, first disk, no attributes.
            self.write(&[&[0; 10][..], &short(offset)].concat())?;
            self.write(member.name.as_bytes())?;
            self.write(&extra)?;
        }
        let (size, end, count) = (self.at - start, self.at, members.len() as u64);
        if start >= BIG || count >= 0xffff {
            let fixed = [&b"PK\x06\x06"[..], &44_u64.to_le_bytes(), &[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
            self.write(&fixed)?;
            for number in [count, count, size, start] {
                self.write(&number.to_le_bytes())?;
            }
            self.write(&[&b"PK\x06\x07"[..], &[0; 4], &end.to_le_bytes(), &[1, 0, 0, 0]].concat())?;
        }
        let count = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        let fixed = [&b"PK\x05\x06"[..], &[0; 4], &count, &count, &short(size), &short(start), &[0, 0]].concat();
        self.write(&fixed)?;
        self.out.flush()?;
        Ok(self.out)
    }
}
