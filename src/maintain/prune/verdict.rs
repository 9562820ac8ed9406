//! Verdict on a condemned generation, and its execution.
//!
//! A condemned pack may be needed by now, and another prune may have made the plan or the verdict.
//! So the roots are read again before a verdict is created, and another prune's verdict is judged
//! before it is carried out.
//!
//! Spec: `format-spec/13-commit.md`, section 4, steps C5 to C7.

use std::collections::HashSet;

use super::loss_check::LossCheck;
use super::marked::Marked;
use super::options::Exclusion;
use super::roots::{DropSet, Roots, scan_roots};
use super::{Prune, plan};
use crate::format::generation::{Removal, Victim};
use crate::format::snapshot::Snapshot;
use crate::id::ObjectId;
use crate::repo::gc::generations::{self, Generations};
use crate::repo::gc::{collect, object_locks};
use crate::repo::index::Run;
use crate::repo::objects::layout;
use crate::repo::read::reachable::MarkBits;
use crate::repo::{Error, Reader, Result};

impl Prune<'_> {
    /// Reads the roots again after the generation was opened, and spares what is needed (step C5).
    ///
    /// `planned` is the state of the prune that planned the generation; without it everything is
    /// marked again.
    pub(super) fn judge(&mut self, removal: Removal, planned: Option<Marked>) -> Result<Judged> {
        let roots = scan_roots(self.repository, self.options, &DropSet::Only(&removal.snapshots))?;
        // If there are no new roots, the plan's own loss check is enough.
        let is_as_planned = planned.as_ref().is_some_and(|marked| roots.are_among(&marked.roots));
        let (reader, mut listed, marks, own) = match planned {
            Some(Marked { reader, listed, marks, own, .. }) => (reader, listed, marks, own),
            None => {
                let reader = Reader::offline(self.repository)?;
                let (_, listed) = collect::survey(reader.chunk_index())?;
                let marks = MarkBits::new(reader.index().record_count());
                (reader, listed, marks, HashSet::new())
            }
        };
        collect::learn(reader.chunk_index(), &mut listed)?;
        removal.packs.iter().for_each(|victim| reader.index().avoid_pack(victim.name));
        // A pack that is gone cannot be spared, and replaces no other one.
        let (mut condemned, gone): (HashSet<ObjectId>, HashSet<ObjectId>) =
            removal.packs.iter().map(|victim| victim.name).partition(|name| listed.has(name));
        for pack in &roots.relied {
            if condemned.remove(pack) {
                reader.index().trust_pack(pack);
            }
        }
        self.mark(&reader, &roots, &marks, &mut condemned)?;
        let is_left =
            |victim: &&Victim| condemned.contains(&victim.name) || gone.contains(&victim.name);
        let packs: Vec<Victim> = removal.packs.iter().filter(is_left).copied().collect();
        if !is_as_planned {
            LossCheck { reader: &reader, listed: &listed, marks: &marks, own: &own }
                .refuse_loss(&packs, self.monitor)?;
        }
        self.report.spared_packs += (removal.packs.len() - packs.len()) as u64;
        let len = |victim: &Victim| listed.packs.get(&victim.name).map_or(0, |pack| pack.len_bytes);
        let bytes = packs.iter().map(len).sum();
        Ok(Judged {
            removal: Removal { packs, snapshots: roots.dropped.clone() },
            condemned: removal,
            bytes,
            roots,
        })
    }

    /// Decides about a generation of another prune: carries it out as planned, or cancels it.
    ///
    /// A repair that died may have opened it to announce a loss, which only a cancelled generation
    /// does: a session that relies on a spared pack would not look again.
    pub(super) fn decide_or_cancel(&mut self, number: u64, judged: Judged) -> Result<()> {
        if judged.removal == judged.condemned && !judged.removal.is_empty() {
            return self.decide_and_finish(number, judged).map(drop);
        }
        generations::decide(self.repository, number, self.options.now, None).map(drop)
    }

    /// Creates the verdict and carries it out, or another prune's verdict that was created first
    /// (steps C6 and C7).
    ///
    /// Returns false if the generation ended long ago, or another prune cancelled it: then
    /// everything is planned again. True if nothing was left.
    pub(super) fn decide_and_finish(&mut self, number: u64, judged: Judged) -> Result<bool> {
        let Judged { removal: own, condemned, bytes, roots } = judged;
        // Cancels a generation of which nothing is left, unless it had no victims from the
        // beginning, because it only merges runs.
        let verdict = (!own.is_empty() || condemned.is_empty()).then(|| own.clone());
        let Some(removal) =
            generations::decide(self.repository, number, self.options.now, verdict)?
        else {
            return Ok(own.is_empty());
        };
        if Generations::list(self.repository)?.highest() > number {
            return Ok(false);
        }
        if self.options.exclusion == Exclusion::User {
            collect::confirm(self.repository, number, Some(&condemned), &removal)?;
        }
        let roots =
            if removal.is_within(&own) { roots } else { self.judge_another(number, &removal)? };
        self.report.removed_bytes += bytes;
        self.finish(number, &removal, &roots)?;
        Ok(true)
    }

    /// Judges a verdict of another prune before it is carried out.
    ///
    /// The seal of a record proves only that a holder of the key made it once: not who, nor for
    /// which copy of the repository. Fails with `Unjustified` if it names a snapshot that must not
    /// be dropped, or a pack that is the only place of a needed chunk. Snapshots that it drops are
    /// no roots, even if a session relies on them.
    pub(super) fn judge_another(&self, number: u64, removal: &Removal) -> Result<Roots> {
        let refuse = |why| {
            Err(Error::Unjustified {
                object: layout::generation_key(number, "verdict").to_string(),
                why,
            })
        };
        let roots =
            scan_roots(self.repository, self.options, &DropSet::Decided(&removal.snapshots))?;
        let is_named = |snapshot: &&Snapshot| removal.snapshots.binary_search(&snapshot.id).is_ok();
        if let Some(snapshot) = roots.snapshots.iter().find(is_named) {
            let id = snapshot.id.short();
            return refuse(
                match roots.waiting.iter().any(|(waiting, _)| *waiting == snapshot.id) {
                    true => format!("snapshot {id} can be brought back yet"),
                    false if roots.guarded.contains(&snapshot.id) => {
                        format!("snapshot {id} is protected")
                    }
                    false => format!("snapshot {id} is not forgotten"),
                },
            );
        }
        let reader = Reader::offline(self.repository)?;
        let (_, listed) = collect::survey(reader.chunk_index())?;
        let victims = removal.packs.iter().map(|victim| victim.name);
        let victims: HashSet<ObjectId> =
            victims.filter(|name| listed.packs.contains_key(name)).collect();
        let mut unneeded = victims.clone();
        let marks = MarkBits::new(reader.index().record_count());
        self.mark(&reader, &roots, &marks, &mut unneeded)?;
        match victims.difference(&unneeded).next() {
            None => {
                let kept = LossCheck {
                    reader: &reader,
                    listed: &listed,
                    marks: &marks,
                    own: &HashSet::new(),
                };
                kept.refuse_loss(&removal.packs, self.monitor).map(|()| roots)
            }
            Some(pack) => refuse(format!(
                "pack {} is the only place of something that a snapshot needs",
                pack.short()
            )),
        }
    }

    /// Carries out a verdict. May be repeated, and run by several prunes at once.
    pub(super) fn finish(&mut self, number: u64, removal: &Removal, roots: &Roots) -> Result<()> {
        collect::remove_snapshots(self.repository, &removal.snapshots)?;
        let reader = Reader::offline(self.repository)?;
        let may_merge = |run: &Run| plan::is_settled(run, &roots.ended_sessions);
        let rewritten =
            match collect::rewrite_index(reader.chunk_index(), number, removal, &may_merge) {
                // The verdict is recorded, so a reader of a run that still names these packs avoids
                // them.
                Err(error) if error.is_full() => {
                    collect::remove_packs(self.repository, &removal.packs)?;
                    let reader = Reader::offline(self.repository)?;
                    collect::rewrite_index(reader.chunk_index(), number, removal, &may_merge)?
                }
                rewritten => rewritten?,
            };
        self.report.stored_run_bytes += rewritten.stored_bytes;
        self.report.removed_run_bytes += rewritten.removed_bytes;
        let (locked_packs, until_s) = object_locks::still_locked(
            self.repository,
            &removal.packs,
            self.options.now,
            self.monitor,
        )?;
        collect::remove_packs(self.repository, &removal.packs)?;
        self.report.locked_packs += locked_packs;
        self.report.locked_until_s = self.report.locked_until_s.max(until_s);
        self.report.index_runs = rewritten.runs as u64;
        generations::finish(self.repository, number, self.options.now, rewritten.clean)?;
        self.report.removed_packs += removal.packs.len() as u64;
        self.report.dropped.extend(&removal.snapshots);
        self.report.generations.push(number);
        Ok(())
    }
}

/// The rest of a removal after the second look.
pub(super) struct Judged {
    removal: Removal,
    condemned: Removal,
    bytes: u64,
    roots: Roots,
}
