//! Which of the machine's processes belong to a stage, where there are no namespaces and no subreaper to tell.
//!
//! A pure function of what one look at the process table shows and of what earlier looks have shown.

use std::collections::HashSet;

/// A process of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its session's.
    pub session: i32,
    /// When it was started: with the id, it names a process for good.
    pub started: u64,
}

impl Row {
    fn identity(&self) -> (i32, u64) {
        (self.pid, self.started)
    }
}

/// What earlier looks have shown.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    members: HashSet<(i32, u64)>,
    strangers: HashSet<(i32, u64)>,
    sessions: HashSet<i32>,
}

/// The process that adopts what has lost its parent.
const ADOPTER: i32 = 1;

impl Seen {
    /// The members among these processes, by their place. A process belongs to the stage if an earlier look said so; if its
    /// parent does, the root of the stage being one; if its session was made by a member; or, where it has lost its parent, if
    /// it is `marked`: it carries a variable in its environment that only this stage has set.
    pub fn members(&mut self, rows: &[Row], root: i32, marked: impl Fn(&Row) -> bool) -> Vec<usize> {
        let mut found: Vec<bool> = rows
            .iter()
            .map(|row| row.pid == root || self.members.contains(&row.identity()) || self.in_session(row))
            .collect();
        for (row, found) in rows.iter().zip(&mut found) {
            let asked = self.strangers.contains(&row.identity());
            if !*found && row.parent == ADOPTER && !asked {
                *found = marked(row);
                if !*found {
                    self.strangers.insert(row.identity());
                }
            }
        }
        // A child can stand before its parent in the table.
        loop {
            let inside: HashSet<i32> =
                rows.iter().zip(&found).filter(|(_, found)| **found).map(|(row, _)| row.pid).collect();
            let mut grown = false;
            for (row, found) in rows.iter().zip(&mut found) {
                if !*found && row.parent != ADOPTER && inside.contains(&row.parent) {
                    *found = true;
                    grown = true;
                }
            }
            if !grown {
                break;
            }
        }
        let places: Vec<usize> = (0..rows.len()).filter(|place| found[*place] && rows[*place].pid != root).collect();
        for place in &places {
            let row = rows[*place];
            self.members.insert(row.identity());
            if row.session == row.pid {
                self.sessions.insert(row.session);
            }
        }
        places
    }

    /// A session's id stays taken while anyone is in it; a leader with that id must be the one that made it.
    fn in_session(&self, row: &Row) -> bool {
        self.sessions.contains(&row.session) && row.pid != row.session
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: i32 = 100;

    fn row(pid: i32, parent: i32, session: i32) -> Row {
        Row { pid, parent, session, started: pid as u64 }
    }

    fn members(seen: &mut Seen, rows: &[Row], marked: &[i32]) -> Vec<i32> {
        let places = seen.members(rows, ROOT, |row| marked.contains(&row.pid));
        places.into_iter().map(|place| rows[place].pid).collect()
    }

    #[test]
    fn descendants_belong_in_whatever_order_they_stand() {
        let rows = [row(104, 103, 102), row(1, 0, 1), row(103, 102, 102), row(ROOT, 50, 50), row(102, ROOT, 102)];
        assert_eq!(members(&mut Seen::default(), &rows, &[]), [104, 103, 102]);
    }

    #[test]
    fn an_orphan_belongs_if_it_was_seen_before_or_is_in_a_session_of_the_stage() {
        let mut seen = Seen::default();
        let before = [row(ROOT, 50, 50), row(102, ROOT, 102), row(103, 102, 102)];
        assert_eq!(members(&mut seen, &before, &[]), [102, 103]);
        // 102 and 103 have ended; 104 is a child of 103 that no look has shown, 105 a stranger.
        let after = [row(ROOT, 50, 50), row(104, 1, 102), row(105, 1, 105)];
        assert_eq!(members(&mut seen, &after, &[]), [104]);
        assert_eq!(members(&mut seen, &[row(104, 1, 104)], &[]), [104]);
    }

    #[test]
    fn a_daemon_belongs_by_its_mark_and_so_do_its_children() {
        let rows = [row(ROOT, 50, 50), row(110, 1, 110), row(111, 110, 110), row(112, 1, 112)];
        assert_eq!(members(&mut Seen::default(), &rows, &[110]), [110, 111]);
    }

    #[test]
    fn what_the_adopter_has_adopted_is_not_its_family() {
        let rows = [row(1, 0, 1), row(ROOT, 1, 50), row(120, 1, 120), row(121, ROOT, 121)];
        assert_eq!(members(&mut Seen::default(), &rows, &[]), [121]);
    }

    #[test]
    fn a_number_that_has_come_to_mean_another_process_is_a_stranger() {
        let mut seen = Seen::default();
        assert_eq!(members(&mut seen, &[row(102, ROOT, 102)], &[]), Vec::<i32>::new(), "its parent is not there");
        assert_eq!(members(&mut seen, &[row(ROOT, 50, 50), row(102, ROOT, 102)], &[]), [102]);
        let other = Row { started: 999, ..row(102, 1, 102) };
        assert_eq!(members(&mut seen, &[row(ROOT, 50, 50), other], &[]), Vec::<i32>::new());
    }

    #[test]
    fn a_stranger_is_asked_for_its_mark_once() {
        let mut seen = Seen::default();
        let asked = std::cell::Cell::new(0);
        for _ in 0..3 {
            seen.members(&[row(ROOT, 50, 50), row(130, 1, 130)], ROOT, |_| {
                asked.set(asked.get() + 1);
                false
            });
        }
        assert_eq!(asked.get(), 1);
    }
}
