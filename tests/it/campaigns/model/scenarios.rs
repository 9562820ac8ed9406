//! Explored scenarios: configurations of the real protocol, each whole, and protocols with one rule
//! broken.
//!
//! Several small configurations, each with what belongs together, see more than one large one that
//! cannot be finished.

use super::invariants::Witness::{self, *};
use super::protocol::{Breach, Scenario};
use super::world::{Set, writers_snapshot};

const BASE: Scenario = Scenario::BASE;
/// The chunk lies there, and nothing needs it: an interrupted backup left it.
const ORPHAN: Scenario = Scenario { name: "orphan", parent: false, ..BASE };
/// Nothing is forgotten.
const NONE: Set = Set(0);

/// The real protocol, and what must be seen in it.
pub fn real() -> Vec<(Scenario, Vec<Witness>)> {
    let own = Set::of(writers_snapshot(0, 0));
    vec![
        (
            Scenario {
                name: "one of each",
                reuse: true,
                repack: true,
                expiry: true,
                undelete: true,
                ..BASE
            },
            vec![
                CommitBesideRemoval,
                ResolveAndCommit,
                AllCollected,
                RepackAndCommit,
                Undeleted,
                NewId,
                ParentMissed,
                Reused,
            ],
        ),
        (
            Scenario {
                name: "two generations",
                generations: 2,
                reuse: true,
                repack: true,
                expiry: true,
                ..BASE
            },
            vec![ResolveAndCommit, AllCollected, RepackAndCommit, NewId, ParentMissed, Reused],
        ),
        (
            Scenario {
                name: "two copies, all runs merged",
                generations: 2,
                reuse: true,
                expiry: true,
                second_copy: true,
                merge_all: true,
                ..BASE
            },
            vec![CommitBesideRemoval, ResolveAndCommit, AllCollected],
        ),
        (
            Scenario { name: "two writers", writers: 2, ..ORPHAN },
            vec![CommitBesideRemoval, ResolveAndCommit],
        ),
        (
            Scenario { name: "two writers with a parent", writers: 2, reuse: true, ..BASE },
            vec![ParentMissed, Reused],
        ),
        (
            Scenario { name: "two collectors", collectors: 2, ..BASE },
            vec![CommitBesideRemoval, ResolveAndCommit],
        ),
        (
            Scenario {
                name: "two collectors that repack",
                collectors: 2,
                repack: true,
                forget: NONE,
                ..BASE
            },
            vec![ResolveAndCommit, RepackAndCommit],
        ),
        (
            Scenario {
                name: "two collectors, two generations",
                collectors: 2,
                generations: 2,
                ..ORPHAN
            },
            vec![AllCollected],
        ),
        (
            Scenario {
                name: "collectors alone",
                collectors: 2,
                generations: 2,
                repack: true,
                second_copy: true,
                writers: 0,
                forget: NONE,
                ..BASE
            },
            vec![],
        ),
        (
            Scenario {
                name: "commits that are not confirmed",
                unknown_commit: true,
                expiry: true,
                forget: own,
                generations: 2,
                ..ORPHAN
            },
            vec![UnsureNewId, NewId, CommittedTwice],
        ),
        (
            Scenario {
                name: "a trimmed log",
                trim: true,
                idle: true,
                reuse: true,
                generations: 3,
                ..BASE
            },
            vec![CommitAfterTrim, ParentMissed],
        ),
        (
            Scenario {
                name: "a trimmed log and two collectors",
                trim: true,
                idle: true,
                generations: 2,
                collectors: 2,
                ..ORPHAN
            },
            vec![CommitAfterTrim],
        ),
        (
            Scenario { name: "verdicts seen half written", torn: true, collectors: 2, ..ORPHAN },
            vec![ResolveAndCommit],
        ),
        (
            Scenario {
                name: "forgotten and brought back",
                undelete: true,
                collectors: 2,
                writers: 0,
                generations: 2,
                ..BASE
            },
            vec![Undeleted, TooLate],
        ),
        (
            Scenario {
                name: "a parent brought back",
                undelete: true,
                reuse: true,
                generations: 2,
                ..BASE
            },
            vec![Undeleted, TooLate, Reused, ParentMissed],
        ),
        (
            Scenario {
                name: "no exclusive creation",
                exclusive: false,
                expiry: true,
                generations: 2,
                reuse: true,
                ..BASE
            },
            vec![CommitBesideRemoval, ResolveAndCommit, AllCollected],
        ),
        (
            Scenario {
                name: "no exclusive creation, commits that are not confirmed",
                exclusive: false,
                unknown_commit: true,
                expiry: true,
                forget: own,
                generations: 2,
                ..ORPHAN
            },
            vec![UnsureNewId, CommittedTwice],
        ),
        (
            Scenario {
                name: "no exclusive creation, brought back",
                exclusive: false,
                undelete: true,
                expiry: true,
                reuse: true,
                generations: 2,
                ..BASE
            },
            vec![Undeleted, TooLate, Reused],
        ),
        (
            Scenario {
                name: "packs that are created again",
                repeats: true,
                collectors: 2,
                generations: 2,
                old_pack: false,
                ..ORPHAN
            },
            vec![ResolveAndCommit],
        ),
        (
            Scenario {
                name: "a restore, slow listings",
                reader: true,
                slow_listing: true,
                second_copy: true,
                ..BASE
            },
            vec![ReaderRetried],
        ),
        (
            Scenario {
                name: "a restore, two collectors",
                reader: true,
                slow_listing: true,
                second_copy: true,
                merge_all: true,
                writers: 0,
                collectors: 2,
                ..BASE
            },
            vec![ReaderRetried],
        ),
        (
            Scenario {
                name: "collectors with slow listings",
                slow_listing: true,
                merge_all: true,
                second_copy: true,
                collectors: 2,
                generations: 2,
                writers: 0,
                ..BASE
            },
            vec![AllCollected],
        ),
    ]
}

/// Larger ones, for `make model-long`.
pub fn large() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "two writers, a trimmed log",
            trim: true,
            generations: 2,
            writers: 2,
            ..ORPHAN
        },
        Scenario {
            name: "two writers, two generations, expiry",
            writers: 2,
            generations: 2,
            expiry: true,
            forget: NONE,
            ..ORPHAN
        },
        Scenario {
            name: "two collectors, two generations, a parent",
            collectors: 2,
            generations: 2,
            reuse: true,
            ..BASE
        },
        Scenario { name: "two of each", writers: 2, collectors: 2, forget: NONE, ..ORPHAN },
        Scenario {
            name: "three generations",
            generations: 3,
            reuse: true,
            repack: true,
            expiry: true,
            second_copy: true,
            ..BASE
        },
        Scenario {
            name: "three generations, two collectors",
            generations: 3,
            collectors: 2,
            ..ORPHAN
        },
    ]
}

/// Each rule broken, where that must be noticed.
pub fn broken() -> Vec<Scenario> {
    use Breach::*;
    let expiry = Scenario { expiry: true, ..ORPHAN };
    let empty = Scenario { old_pack: false, ..expiry };
    let reuse = Scenario { reuse: true, generations: 2, ..BASE };
    let trim = Scenario { trim: true, idle: true, generations: 2, ..BASE };
    let copies = Scenario { second_copy: true, forget: NONE, ..BASE };
    let collectors = Scenario { collectors: 2, generations: 2, writers: 0, ..copies };
    let own = Scenario { forget: Set::of(writers_snapshot(0, 0)), generations: 2, ..expiry };
    let all = [
        (NoIntent, ORPHAN),
        (NoSecondLook, ORPHAN),
        (NoRuleP, Scenario { reuse: true, ..trim }),
        (DoomedParentTaken, reuse),
        (IntentParentIgnored, reuse),
        (NoRescueWhileThere, ORPHAN),
        (BlindRepeat, Scenario { unknown_commit: true, ..own }),
        (SnapshotsBeforeIntents, expiry),
        (NoLookAfterCondemning, ORPHAN),
        (NoIndexAfterCondemning, empty),
        (IndexBeforeRoots, empty),
        (PacksBeforeIndex, Scenario { merge_all: true, ..ORPHAN }),
        (
            SurvivorsUnpublished,
            Scenario { writers: 0, collectors: 2, repack: true, forget: NONE, ..BASE },
        ),
        (SurvivorsStampedLate, Scenario { collectors: 2, repack: true, forget: NONE, ..BASE }),
        (StalePlan, collectors),
        (TwoOpen, collectors),
        (VerdictReplaced, Scenario { collectors: 2, ..ORPHAN }),
        (TornIsCancel, Scenario { torn: true, ..ORPHAN }),
        (TornIsGo, Scenario { torn: true, collectors: 2, ..ORPHAN }),
        (IntentUnburnt, expiry),
        (AbortedRemoved, expiry),
        (DoneForgotten, ORPHAN),
        (UnlistedCopiesCount, Scenario { generations: 2, forget: NONE, ..BASE }),
        (ReaderKnowsOnePlace, Scenario { reader: true, forget: NONE, ..BASE }),
        (ReaderGivesUp, Scenario { reader: true, slow_listing: true, writers: 0, ..copies }),
        (StaleBelieved, trim),
        (NoRuleT, trim),
        (TrimmedVerdict, Scenario { collectors: 2, parent: false, ..trim }),
        (DropAtOnce, Scenario { undelete: true, writers: 0, ..BASE }),
        (NewlyDueIgnored, own),
        (MissingTolerated, Scenario { merge_all: true, slow_listing: true, ..collectors }),
        (ExpiryWithoutExclusion, Scenario { exclusive: false, ..expiry }),
        (CancelWithoutExclusion, Scenario { exclusive: false, undelete: true, writers: 0, ..BASE }),
        (RepeatedByStore, own),
        (
            ReturnedPacksCount,
            Scenario { repeats: true, collectors: 2, generations: 2, old_pack: false, ..ORPHAN },
        ),
        (
            TwoWithoutExclusion,
            Scenario { exclusive: false, collectors: 2, generations: 2, ..ORPHAN },
        ),
    ];
    all.into_iter()
        .map(|(breach, scenario)| Scenario { breach: Some(breach), ..scenario })
        .collect()
}
