//! Text output of a repair: damage, remedies and remaining losses.

use super::args::RepairArgs;
use super::view::RepairSummary;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::text;
use crate::ui::output::BufferedStdout;
use crate::ui::style::Role;

/// Prints the damage and what was or can be done about it.
pub(super) fn tell(ctx: &Context, shown: &RepairSummary, args: &RepairArgs) -> Result<(), Failure> {
    let applied = args.apply;
    let style = ctx.ui.out_style;
    if shown.problems.is_empty() && shown.packs.is_empty() {
        ctx.ui.say(&style.paint(Role::Good, "no damage found: there is nothing to repair"))?;
        return Ok(());
    }
    let mut out = BufferedStdout::open()?;
    if shown.problems.is_empty() {
        writeln!(out, "no damage found, but what is needed would be removed")?;
    } else {
        writeln!(
            out,
            "{}",
            style.paint(
                Role::Error,
                &format!("found {}:", text::counted(shown.problems.count, "problem"))
            )
        )?;
    }
    for problem in &shown.problems.items {
        writeln!(out, "  {}: {}", problem.object, problem.message)?;
    }
    if !shown.packs.is_empty() || !shown.runs.is_empty() {
        writeln!(out, "{}", if applied { "done:" } else { "can be done:" })?;
    }
    for pack in &shown.packs {
        let (chunks, old) = (text::counted(pack.chunks, "chunk"), &pack.instead_of);
        match pack.removed_by {
            None => writeln!(out, "  store again what can be read of {old}: {chunks}")?,
            Some(number) => writeln!(
                out,
                "  store again what is in {old}, which gc/{number}.verdict removes: {chunks}"
            )?,
        }
    }
    for run in &shown.runs {
        let (packs, chunks) =
            (text::counted(run.packs, "pack"), text::counted(run.chunks, "chunk"));
        let instead = match run.replaces.len() {
            0 => String::new(),
            count => format!(", instead of {}", text::counted(count as u64, "run")),
        };
        let left_out = match run.left_out {
            0 => String::new(),
            count => format!(
                ", without {} that are stored elsewhere or lost",
                text::counted(count, "chunk")
            ),
        };
        writeln!(out, "  an index run that names {packs} with {chunks}{instead}{left_out}")?;
    }
    if !shown.beyond.is_empty() {
        writeln!(out, "cannot be healed:")?;
        shown.beyond.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    tell_lost(&mut out, shown, applied)?;
    tell_replaced(&mut out, shown, applied)?;
    tell_next(&mut out, shown, args)?;
    Ok(out.finish()?)
}

fn tell_replaced(
    out: &mut BufferedStdout,
    shown: &RepairSummary,
    applied: bool,
) -> Result<(), Failure> {
    if shown.replaced.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{}",
        if applied {
            "replaced:"
        } else {
            "snapshots to be replaced by new ones without what is lost:"
        }
    )?;
    for replaced in &shown.replaced {
        let old = &replaced.snapshot[..8];
        let left_out = match replaced.left_out {
            0 => String::new(),
            count => format!(", without {}", text::counted(count, "path")),
        };
        match (&replaced.by, applied) {
            (Some(new), _) => writeln!(out, "  {old} by {}{left_out}", &new[..8])?,
            (None, true) => writeln!(out, "  {old} by none: nothing of it could be read")?,
            (None, false) => writeln!(out, "  {old}{left_out}")?,
        }
    }
    Ok(())
}

fn tell_next(
    out: &mut BufferedStdout,
    shown: &RepairSummary,
    args: &RepairArgs,
) -> Result<(), Failure> {
    let is_planned =
        !shown.packs.is_empty() || !shown.runs.is_empty() || !shown.replaced.is_empty();
    if !args.apply && is_planned {
        let option = if args.snapshots { " --snapshots" } else { "" };
        writeln!(out, "nothing was changed: `drumlin repair{option} --apply` does it")?;
    }
    if !shown.replaced.is_empty() {
        let tense = if args.apply { "are" } else { "will be" };
        writeln!(
            out,
            "the old ones {tense} in the trash for 7 days: `drumlin undelete` brings them back, \
                `drumlin prune` removes them after that"
        )?;
    }
    if shown.is_untold {
        let once =
            "run `drumlin backup --read-all` once on each other machine that backs up to here";
        writeln!(out, "other machines do not learn of this from the repository: {once}")?;
    }
    if shown.lost.is_empty() || !args.apply && is_planned {
        return Ok(());
    }
    if shown.is_any_broken {
        writeln!(
            out,
            "back up the same sources again: what they still hold is stored again, and is back in \
                every snapshot"
        )?;
        let rest = "if something stays lost even then, `drumlin repair --snapshots` replaces the \
            snapshots that lack it by new ones without it";
        writeln!(out, "{rest}")?;
    } else {
        writeln!(
            out,
            "only snapshots in the trash lack something: `drumlin prune` removes them when they \
                have been there for 7 days"
        )?;
    }
    Ok(())
}

fn tell_lost(
    out: &mut BufferedStdout,
    shown: &RepairSummary,
    applied: bool,
) -> Result<(), Failure> {
    if shown.lost.is_empty() {
        let which = if applied && !shown.replaced.is_empty() { "any other" } else { "any" };
        writeln!(
            out,
            "no file of {which} snapshot {} lost",
            if applied { "is" } else { "will be" }
        )?;
    } else {
        writeln!(out, "lost{}:", if applied { "" } else { " even then" })?;
    }
    for lost in &shown.lost.items {
        let what = if lost.is_dir { " (folder: not everything in it can be read)" } else { "" };
        writeln!(out, "  {}:{}{what}", lost.snapshot.short(), text::printable(&lost.path))?;
    }
    let hidden = shown.lost.count - shown.lost.items.len() as u64;
    if hidden > 0 {
        writeln!(out, "  and {} more", text::count(hidden))?;
    }
    Ok(())
}
