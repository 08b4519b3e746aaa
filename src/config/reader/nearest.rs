//! What somebody may have meant.

/// The candidate that `word` is most likely a slip of; `None` where none is near: more than a third of the letters
/// differ. Case does not count.
pub(super) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    candidates
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, candidate)| {
            let length = candidate.chars().count();
            *distance < length && distance * 3 <= length.max(3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters are to be inserted, left out, replaced or swapped with their neighbour (optimal string
/// alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = ["idle_timeout", "absolute_timeout", "http", "https", "url"];
        for (word, meant) in [
            ("idle_timout", "idle_timeout"),
            ("idle-timeout", "idle_timeout"),
            ("Absolute_Timeout", "absolute_timeout"),
            ("htpp", "http"),
            ("htps", "https"),
            ("uri", "url"),
        ] {
            assert_eq!(nearest(word, known.into_iter()), Some(meant), "{word}");
        }
    }

    #[test]
    fn what_is_far_from_everything_stays_so() {
        for word in ["", "x", "timeout_of_idleness", "pool_size", "timeout"] {
            assert_eq!(nearest(word, ["idle_timeout", "url", "a"].into_iter()), None, "{word}");
        }
    }
}
