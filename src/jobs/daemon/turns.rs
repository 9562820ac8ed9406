//! Turns: which of the tasks that are due begin now.
//!
//! A repository that is reached over a network has one task at a time, because two would share its
//! line. A folder may have several runs, but a task that is alone (a prune) has it to itself.

/// Something to do with a repository: a run of an app, or a prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name: of a task with this name one is under way at most.
    pub name: String,
    /// Its slot; without one it comes first.
    pub slot_s: Option<i64>,
    /// The repository.
    pub repository: String,
    /// Whether other such tasks may use the repository at once.
    pub is_shared: bool,
}

impl Task {
    fn excludes(&self, other: &Self) -> bool {
        self.name == other.name
            || self.repository == other.repository && !(self.is_shared && other.is_shared)
    }
}

/// Returns the positions of the waiting tasks that may begin, oldest slot first, so that at most
/// `parallel` are under way.
///
/// A task that has to wait lets none pass that it would have to wait for: a prune gets its turn
/// although runs of other apps are due again and again.
pub fn next_turns(waiting: &[Task], running: &[Task], parallel: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    order.sort_by_key(|at| waiting[*at].slot_s);
    let mut claims: Vec<&Task> = running.iter().collect();
    let mut chosen = Vec::new();
    for at in order {
        if running.len() + chosen.len() >= parallel {
            break;
        }
        let task = &waiting[at];
        if !claims.iter().any(|claim| claim.excludes(task)) {
            chosen.push(at);
        }
        claims.push(task);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, slot_s: i64, repository: &str, is_shared: bool) -> Task {
        let (name, repository) = (name.to_owned(), repository.to_owned());
        Task { name, slot_s: Some(slot_s), repository, is_shared }
    }

    #[test]
    fn the_oldest_slots_begin_and_limits_are_kept() {
        let waiting = [
            task("late", 9, "disk", true),
            task("old", 1, "box", false),
            task("other", 2, "box", false),
            task("mid", 3, "disk", true),
        ];
        assert_eq!(next_turns(&waiting, &[], 2), [1, 3]);
        assert_eq!(next_turns(&waiting, &[], 9), [1, 3, 0]);
        assert_eq!(next_turns(&waiting, &waiting[..1], 2), [1]);
        assert_eq!(next_turns(&waiting, &waiting[1..2], 9), [3, 0]);
        assert!(next_turns(&waiting, &waiting[..2], 2).is_empty());
    }

    #[test]
    fn a_prune_has_its_repository_to_itself_and_is_not_passed() {
        let run = task("wiki", 1, "disk", true);
        let prune = task("prune disk", 2, "disk", false);
        let next = task("shop", 3, "disk", true);
        let elsewhere = task("box", 4, "box", true);
        let waiting = [next, prune.clone(), elsewhere];
        assert_eq!(next_turns(&waiting, &[run], 4), [2]);
        assert_eq!(next_turns(&waiting, &[], 4), [1, 2]);
        assert_eq!(next_turns(&waiting[..1], &[prune], 4), Vec::<usize>::new());
    }

    /// Tasks come and end at random times. At no time do two exclude each other or are there too
    /// many, and each is done, in the order of slots among those that exclude each other.
    #[test]
    fn no_history_breaks_a_limit_or_leaves_a_task_out() {
        for seed in 0..2_000_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from(state % below).unwrap()
            };
            let parallel = 1 + random(4);
            let mut coming: Vec<Task> = (0..12)
                .map(|slot_s| {
                    let repository = ["disk", "box", "bucket"][random(3)];
                    let is_shared = repository == "disk" && random(4) > 0;
                    task(&format!("app{}", random(8)), slot_s, repository, is_shared)
                })
                .collect();
            let (mut waiting, mut running, mut done) = (Vec::new(), Vec::new(), Vec::new());
            while done.len() < 12 {
                for _ in 0..random(3).min(coming.len()) {
                    waiting.push(coming.remove(0));
                }
                let turns = next_turns(&waiting, &running, parallel);
                let begun: Vec<Task> = turns.iter().map(|at| waiting[*at].clone()).collect();
                waiting.retain(|task| !begun.contains(task));
                running.extend(begun);
                assert!(running.len() <= parallel, "seed {seed}");
                for (at, one) in running.iter().enumerate() {
                    let clash = running[at + 1..].iter().find(|other| one.excludes(other));
                    assert_eq!(clash, None, "seed {seed}: beside {one:?}");
                    let passed =
                        waiting.iter().find(|old| old.excludes(one) && old.slot_s < one.slot_s);
                    assert_eq!(passed, None, "seed {seed}: passed by {one:?}");
                }
                if !running.is_empty() {
                    done.push(running.remove(random(running.len() as u64)));
                }
            }
        }
    }
}
