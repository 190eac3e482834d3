//! Lanes: the rows that one name gets from one kind of source, in the grid's order; and their merge into rows.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::analysis::pivot::loops::LoopOrder;
use crate::analysis::pivot::{Awaited, Origin, Place, Series, Trust};
use crate::model::column::Column;
use crate::model::value::Value;
use crate::model::verdict::Verdict;

/// Sorted rows of one name under one path, from the recording, from replays, or awaited.
pub(super) struct Lane {
    pub(super) name: usize,
    /// Which source wins a cell: 0 recorded, 1 replayed, 2 awaited.
    rank: u8,
    /// The grid's column of each loop of the path.
    slots: Vec<usize>,
    /// Tells paths apart that have the same loops in another order; 0 for the usual order.
    variant: i64,
    parts: Vec<Part>,
    /// The rows in order; `None`: all of the only part, in its own order.
    picks: Option<Vec<Pick>>,
}

/// Which rows a lane has: its `slots` and `variant`.
type Rows = (Vec<usize>, i64);

/// What one lane is made of: rank, name and path.
type Group = (u8, usize, Vec<String>);

struct Part {
    content: Content,
    indices: Vec<Vec<u64>>,
}

enum Content {
    Values(Column, Trust),
    Awaited { failed: bool },
}

#[derive(Clone, Copy)]
struct Pick {
    part: usize,
    row: usize,
    occurrence: u32,
}

/// What a lane has for a cell.
pub(super) enum Payload {
    Value(Value, Verdict),
    Awaited { failed: bool },
}

impl Lane {
    fn new(name: usize, rank: u8, slots: Vec<usize>, variant: i64, parts: Vec<Part>) -> Self {
        let picks = picks(&parts, &slots);
        Self { name, rank, slots, variant, parts, picks }
    }

    pub(super) fn len(&self) -> usize {
        match &self.picks {
            Some(picks) => picks.len(),
            None => self.parts.first().map_or(0, Part::len),
        }
    }

    fn pick(&self, at: usize) -> Pick {
        self.picks.as_ref().map_or(Pick { part: 0, row: at, occurrence: 0 }, |picks| picks[at])
    }

    /// The cell's content for the row at `at`.
    pub(super) fn payload(&self, at: usize) -> Payload {
        let pick = self.pick(at);
        match &self.parts[pick.part].content {
            Content::Values(column, trust) => {
                let outermost = || {
                    let name = column.loops.first().map(String::as_str);
                    name.zip(self.parts[pick.part].row(pick.row).next())
                };
                Payload::Value(column.values.get(pick.row), trust.verdict_at(outermost))
            }
            Content::Awaited { failed } => Payload::Awaited { failed: *failed },
        }
    }

    /// How often the position of the row at `at` was logged before.
    pub(super) fn occurrence(&self, at: usize) -> u32 {
        self.pick(at).occurrence
    }

    /// Appends the rows' indices in the loop of the grid's column `slot`: −1 where the path does not have it.
    pub(super) fn extend_indices(&self, slot: usize, out: &mut Vec<i64>) {
        let index = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
        let depth = self.slots.iter().position(|own| *own == slot);
        match (depth, &self.picks, &self.parts[..]) {
            (None, ..) => out.resize(out.len() + self.len(), -1),
            (Some(depth), None, [only]) => out.extend(only.indices[depth].iter().map(|at| index(*at))),
            (Some(depth), ..) => out.extend((0..self.len()).map(|at| {
                let pick = self.pick(at);
                index(self.parts[pick.part].indices[depth][pick.row])
            })),
        }
    }

    /// Writes the sort key of the row at `at`: loop indices (−1 outside), variant, occurrence.
    fn write_key(&self, at: usize, key: &mut [i64]) {
        let pick = self.pick(at);
        let loops = key.len() - 2;
        key[..loops].fill(-1);
        for (slot, indices) in self.slots.iter().zip(&self.parts[pick.part].indices) {
            key[*slot] = i64::try_from(indices[pick.row]).unwrap_or(i64::MAX);
        }
        key[loops] = self.variant;
        key[loops + 1] = i64::from(pick.occurrence);
    }
}

impl Part {
    fn len(&self) -> usize {
        match &self.content {
            Content::Values(column, _) => column.len(),
            Content::Awaited { .. } => self.indices.first().map_or(1, Vec::len),
        }
    }

    fn of(mut column: Column, trust: Trust) -> Self {
        Self { indices: std::mem::take(&mut column.indices), content: Content::Values(column, trust) }
    }

    /// Indices of a row in the order of the path.
    fn row(&self, row: usize) -> impl Iterator<Item = u64> {
        self.indices.iter().map(move |column| column[row])
    }
}

/// The lanes of one run's columns. Of replayed values only those of the newest probe of each name are kept.
pub(super) fn lanes(order: &LoopOrder, series: Vec<Series>) -> Vec<Lane> {
    let mut newest: BTreeMap<usize, (u64, String)> = BTreeMap::new();
    for one in &series {
        if let Origin::Replayed { probe, order, .. } = &one.origin
            && newest.get(&one.name).is_none_or(|(known, _)| known <= order)
        {
            newest.insert(one.name, (*order, probe.clone()));
        }
    }
    let mut groups: BTreeMap<Group, Vec<(u64, Part)>> = BTreeMap::new();
    for Series { name, origin, column, .. } in series {
        let (rank, time, trust) = match origin {
            Origin::Recorded => (0, 0, Trust::all(Verdict::Recorded)),
            Origin::Replayed { probe, .. } if newest.get(&name).is_some_and(|(_, kept)| *kept != probe) => continue,
            Origin::Replayed { order, trust, .. } => (1, order, trust),
        };
        let path = column.loops.clone();
        groups.entry((rank, name, path)).or_default().push((time, Part::of(column, trust)));
    }
    let contrary: BTreeSet<Vec<String>> =
        groups.keys().map(|(_, _, path)| path.clone()).filter(|path| !order.slots(path).is_sorted()).collect();
    let mut lanes = Vec::new();
    for ((rank, name, path), mut parts) in groups {
        // Newest first, so that the first of equal rows is the one to keep.
        parts.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let parts: Vec<Part> = parts.into_iter().map(|(_, part)| part).collect();
        let variant = contrary.iter().position(|p| *p == path).map_or(0, |at| at + 1);
        let variant = i64::try_from(variant).unwrap_or(i64::MAX);
        lanes.push(Lane::new(name, rank, order.slots(&path), variant, parts));
    }
    lanes
}

/// The order of all parts' rows, equal positions within a part told apart by occurrence and between parts dropped
/// after the first. `None` where the only part is in strict order already.
fn picks(parts: &[Part], slots: &[usize]) -> Option<Vec<Pick>> {
    let mut by_slot: Vec<usize> = (0..slots.len()).collect();
    by_slot.sort_by_key(|depth| slots[*depth]);
    let compare = |a: &Pick, b: &Pick| {
        let of = |pick: &Pick, depth: usize| parts[pick.part].indices[depth][pick.row];
        by_slot
            .iter()
            .map(|&d| of(a, d).cmp(&of(b, d)))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    };
    let all = |part: usize| (0..parts[part].len()).map(move |row| Pick { part, row, occurrence: 0 });
    if let [only] = parts {
        let pick = |row| Pick { part: 0, row, occurrence: 0 };
        if (1..only.len()).all(|row| compare(&pick(row - 1), &pick(row)).is_lt()) {
            return None;
        }
    }
    let mut picks = Vec::new();
    for part in 0..parts.len() {
        let mut own: Vec<Pick> = all(part).collect();
        own.sort_by(compare);
        for i in 1..own.len() {
            if compare(&own[i - 1], &own[i]).is_eq() {
                own[i].occurrence = own[i - 1].occurrence + 1;
            }
        }
        picks.append(&mut own);
    }
    if parts.len() > 1 {
        let order = |a: &Pick, b: &Pick| compare(a, b).then(a.occurrence.cmp(&b.occurrence));
        picks.sort_by(order);
        picks.dedup_by(|later, kept| order(later, kept).is_eq());
    }
    Some(picks)
}

/// Adds lanes for what is still awaited, where the name has nothing in that iteration yet.
pub(super) fn add_awaited<'a>(order: &LoopOrder, lanes: &mut Vec<Lane>, awaited: impl Iterator<Item = &'a Awaited>) {
    let mut marks: BTreeMap<(usize, bool, Rows), BTreeSet<Vec<u64>>> = BTreeMap::new();
    let mut filled: BTreeMap<(usize, usize), HashSet<u64>> = BTreeMap::new();
    for one in awaited {
        let mut mark = |rows, position| marks.entry((one.name, one.failed, rows)).or_default().insert(position);
        let (main, index) = match &one.place {
            Place::Root => {
                mark((Vec::new(), 0), Vec::new());
                continue;
            }
            Place::Iteration { main, index } | Place::Within { main, index } => (main, *index),
        };
        let [slot] = order.slots(std::slice::from_ref(main))[..] else { continue };
        let done = filled.entry((one.name, slot)).or_insert_with(|| iterations(lanes, one.name, slot));
        if done.contains(&index) {
            continue;
        }
        let within = matches!(one.place, Place::Within { .. });
        let deeper = if within { rows_within(lanes, slot, index) } else { HashSet::new() };
        if deeper.is_empty() {
            mark((vec![slot], 0), vec![index]);
        }
        for (rows, position) in deeper {
            mark(rows, position);
        }
    }
    for ((name, failed, (slots, variant)), positions) in marks {
        let indices = (0..slots.len()).map(|depth| positions.iter().map(|row| row[depth]).collect()).collect();
        let part = Part { content: Content::Awaited { failed }, indices };
        lanes.push(Lane::new(name, 2, slots, variant, vec![part]));
    }
}

/// The iterations of the loop in column `slot` in which a name has values.
fn iterations(lanes: &[Lane], name: usize, slot: usize) -> HashSet<u64> {
    let mut found = HashSet::new();
    for lane in lanes.iter().filter(|lane| lane.name == name) {
        if let Some(depth) = lane.slots.iter().position(|s| *s == slot) {
            for part in &lane.parts {
                found.extend(part.indices[depth].iter().copied());
            }
        }
    }
    found
}

/// Positions of other names deeper within one iteration.
fn rows_within(lanes: &[Lane], slot: usize, index: u64) -> HashSet<(Rows, Vec<u64>)> {
    let mut found = HashSet::new();
    for lane in lanes {
        let Some(depth) = lane.slots.iter().position(|s| *s == slot).filter(|_| lane.slots.len() > 1) else { continue };
        let rows = (lane.slots.clone(), lane.variant);
        for part in &lane.parts {
            for row in (0..part.len()).filter(|row| part.indices[depth][*row] == index) {
                found.insert((rows.clone(), part.row(row).collect()));
            }
        }
    }
    found
}

/// A merge of sorted lanes into rows.
pub(super) struct Merge<'a> {
    lanes: &'a [Lane],
    width: usize,
    positions: Vec<usize>,
    /// The key of each lane's current row, one after another.
    keys: Vec<i64>,
    /// The lanes whose current row is the merge's, best source first.
    heads: Vec<usize>,
    /// Lanes in order of rank.
    by_rank: Vec<usize>,
}

/// The key of a row.
pub(super) struct Key<'a>(&'a [i64]);

impl<'a> Key<'a> {
    /// Loop indices and occurrence.
    pub(super) fn parts(&self) -> (&'a [i64], u32) {
        let loops = self.0.len() - 2;
        (&self.0[..loops], u32::try_from(self.0[loops + 1]).unwrap_or(u32::MAX))
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(lanes: &'a [Lane], loops: usize) -> Self {
        let width = loops + 2;
        let mut by_rank: Vec<usize> = (0..lanes.len()).collect();
        by_rank.sort_by_key(|lane| lanes[*lane].rank);
        by_rank.retain(|lane| lanes[*lane].len() > 0);
        let mut merge = Self {
            lanes,
            width,
            positions: vec![0; lanes.len()],
            keys: vec![0; lanes.len() * width],
            heads: Vec::new(),
            by_rank,
        };
        for at in 0..merge.by_rank.len() {
            merge.load(merge.by_rank[at]);
        }
        merge
    }

    /// Moves to the next row; false after the last one.
    pub(super) fn next_row(&mut self) -> bool {
        for &lane in &self.heads {
            self.positions[lane] += 1;
        }
        let moved = std::mem::take(&mut self.heads);
        for &lane in &moved {
            if self.positions[lane] < self.lanes[lane].len() {
                self.load(lane);
            } else {
                self.by_rank.retain(|live| *live != lane);
            }
        }
        self.heads = moved;
        self.heads.clear();
        for &lane in &self.by_rank {
            let order = self.heads.first().map(|head| self.key_of(lane).cmp(self.key_of(*head)));
            match order {
                None | Some(std::cmp::Ordering::Equal) => self.heads.push(lane),
                Some(std::cmp::Ordering::Less) => {
                    self.heads.clear();
                    self.heads.push(lane);
                }
                Some(std::cmp::Ordering::Greater) => {}
            }
        }
        !self.heads.is_empty()
    }

    /// The lanes that have something for this row, best source first, and each one's row.
    pub(super) fn heads(&self) -> impl Iterator<Item = (&'a Lane, usize)> {
        self.heads.iter().map(|&lane| (&self.lanes[lane], self.positions[lane]))
    }

    /// The current row's key.
    pub(super) fn key(&self) -> Key<'_> {
        Key(self.heads.first().map_or(&[], |head| self.key_of(*head)))
    }

    fn key_of(&self, lane: usize) -> &[i64] {
        &self.keys[lane * self.width..(lane + 1) * self.width]
    }

    fn load(&mut self, lane: usize) {
        let key = &mut self.keys[lane * self.width..(lane + 1) * self.width];
        self.lanes[lane].write_key(self.positions[lane], key);
    }
}
