//! Optimal alignment of two sequences under a similarity: Needleman and Wunsch (1970), gaps free.

/// Above this many cells only equal ends are aligned: such blocks are data.
const MAX_CELLS: usize = 1 << 20;

/// Pairs of indices, increasing in both, with the greatest total of `similarity`; pairs of zero or less do not count.
/// O(n·m) time and space.
pub(super) fn align(n: usize, m: usize, similarity: impl Fn(usize, usize) -> f64) -> Vec<(usize, usize)> {
    if n.saturating_mul(m) > MAX_CELLS {
        return (0..n.min(m)).take_while(|i| similarity(*i, *i) > 0.0).map(|i| (i, i)).collect();
    }
    let width = m + 1;
    let mut best = vec![0.0f64; (n + 1) * width];
    let mut scores = vec![0.0f64; n * m];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            let score = similarity(i, j);
            scores[i * m + j] = score;
            let paired = if score > 0.0 { score + best[(i + 1) * width + j + 1] } else { 0.0 };
            best[i * width + j] = paired.max(best[(i + 1) * width + j]).max(best[i * width + j + 1]);
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < n && j < m {
        let here = best[i * width + j];
        let score = scores[i * m + j];
        if score > 0.0 && here <= score + best[(i + 1) * width + j + 1] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if here <= best[(i + 1) * width + j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}
