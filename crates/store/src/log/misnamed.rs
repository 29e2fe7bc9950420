//! Segments under each other's names, as manual copying can leave them: each gets the name in its head.
//!
//! Invariants: a file is renamed only if no other claims its number, and never over another file; if interrupted at
//! any step, the next start completes it. A single file under a new name is left to `Segments::open`: it may be a
//! retired one.

use std::collections::BTreeMap;
use std::io;

use super::head::{SegmentHead, read_head};
use super::segments::{segment_name, segment_number};
use crate::disk::Disk;

/// Suffix of a file between its old name and the right one.
const BETWEEN: &str = ".misnamed";

/// A segment whose name was restored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Restored {
    /// From its head, and now from its name as well.
    pub(super) number: u32,
    pub(super) old_name: String,
}

/// Restores the names of segments that have each other's.
///
/// # Errors
/// The folder or the head of a file cannot be read, or a file cannot be renamed.
pub(super) fn restore_names(disk: &dyn Disk) -> io::Result<Vec<Restored>> {
    let files = disk.list()?;
    let mut claims: BTreeMap<u32, Vec<&String>> = BTreeMap::new();
    for file in &files {
        let is_segment = segment_number(file.strip_suffix(BETWEEN).unwrap_or(file)).is_some();
        if is_segment && let SegmentHead::Number(number, _) = read_head(&*disk.open(file)?)? {
            claims.entry(number).or_default().push(file);
        }
    }
    let mut moves: BTreeMap<u32, &String> = claims
        .iter()
        .filter_map(|(number, claimants)| match claimants[..] {
            [file] if *file != segment_name(*number) => Some((*number, file)),
            _ => None,
        })
        .collect();
    loop {
        let before = moves.len();
        let leaving: Vec<&String> = moves.values().copied().collect();
        moves.retain(|number, file| {
            let wanted = segment_name(*number);
            if files.contains(&wanted) {
                leaving.contains(&&wanted)
            } else {
                file.ends_with(BETWEEN) || files.contains(&format!("{wanted}{BETWEEN}"))
            }
        });
        if moves.len() == before {
            break;
        }
    }
    let mut between = BTreeMap::new();
    for (number, file) in moves {
        let aside = if file.ends_with(BETWEEN) { file.clone() } else { format!("{file}{BETWEEN}") };
        if aside != *file {
            disk.rename(file, &aside)?;
        }
        between.insert(number, aside);
    }
    if between.is_empty() {
        return Ok(Vec::new());
    }
    disk.sync_dir()?;
    let mut restored = Vec::new();
    for (number, aside) in between {
        disk.rename(&aside, &segment_name(number))?;
        let old_name = aside.trim_end_matches(BETWEEN).to_owned();
        restored.push(Restored { number, old_name });
    }
    disk.sync_dir()?;
    Ok(restored)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::segments::Segments;
    use super::*;
    use crate::sim::{Faults, SimDisk};

    /// A folder with four segments, each with its own number as its last byte.
    fn folder(seed: u64) -> SimDisk {
        let disk = SimDisk::new(seed);
        let (segments, _) = Segments::open(Arc::new(disk.clone()), 64 << 10).unwrap();
        for _ in 0..4 {
            segments.create(0, true).unwrap();
        }
        disk
    }

    /// Gives each segment the name paired with it.
    fn exchange(disk: &SimDisk, names: &[(u32, u32)]) {
        let contents: Vec<_> =
            names.iter().map(|(from, to)| (*to, disk.read(&segment_name(*from)).unwrap())).collect();
        for (to, bytes) in contents {
            disk.put(&segment_name(to), bytes);
        }
    }

    fn heads(disk: &SimDisk) -> Vec<(String, SegmentHead)> {
        let names = disk.list().unwrap();
        names.into_iter().map(|n| (n.clone(), read_head(&*disk.open(&n).unwrap()).unwrap())).collect()
    }

    #[test]
    fn segments_under_each_others_names_get_their_own_wherever_a_start_ends() {
        for exchanged in [&[(1, 2), (2, 1)][..], &[(1, 3), (3, 4), (4, 1)], &[(1, 2), (2, 1), (3, 4), (4, 3)]]
        {
            let mut stopped = 0;
            for seed in 0..100 {
                let disk = folder(seed);
                let whole = heads(&disk);
                exchange(&disk, exchanged);
                disk.set_faults(Faults { names: 12, ..Faults::default() });
                stopped += u32::from(restore_names(&disk).is_err());
                disk.set_faults(Faults::default());
                disk.crash();
                restore_names(&disk).unwrap();
                assert_eq!(heads(&disk), whole, "{exchanged:?}, seed {seed}");
            }
            assert!(stopped > 20 && stopped < 100, "{exchanged:?}: {stopped}");
        }
    }

    #[test]
    fn a_copy_of_a_segment_and_what_it_took_the_name_of_stay() {
        let disk = folder(1);
        // 2 is lost, 1 exists twice; 3 has the name of 4, which is lost.
        exchange(&disk, &[(1, 2), (3, 4)]);
        let before = heads(&disk);
        assert_eq!(restore_names(&disk).unwrap(), []);
        assert_eq!(heads(&disk), before);
    }
}
