//! Goal: limits of collectors' records and of intents.

use crate::format::entry::{Extension, Timestamp};
use crate::format::generation::{CollectorRecord, Condemned, Done, RecordContent, Removal, Victim};
use crate::format::intent::Intent;
use crate::format::limits;
use crate::format::run::PackClass;
use crate::id::{ObjectId, SnapshotId};

fn object(number: usize) -> ObjectId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    ObjectId(id)
}

fn snapshot(number: usize) -> SnapshotId {
    SnapshotId((number as u128).to_be_bytes())
}

fn removal(packs: usize, snapshots: usize) -> Removal {
    let victim = |number| Victim { class: PackClass::Data, name: object(number) };
    Removal {
        packs: (0..packs).map(victim).collect(),
        snapshots: (0..snapshots).map(snapshot).collect(),
    }
}

fn record(content: RecordContent) -> CollectorRecord {
    CollectorRecord { number: 5, created: Timestamp::default(), content }
}

fn is_record(record: &CollectorRecord) -> bool {
    CollectorRecord::decode(&record.encode()).is_ok()
}

#[test]
fn what_removes_less_is_within_what_removes_more() {
    let (nothing, less, more) = (removal(0, 0), removal(1, 1), removal(2, 2));
    assert!(less.is_within(&more) && !more.is_within(&less) && nothing.is_within(&less));
    assert!(!removal(2, 1).is_within(&less) && !removal(1, 2).is_within(&less));
    assert!(nothing.is_empty() && !removal(1, 0).is_empty() && !removal(0, 1).is_empty());
}

#[test]
fn words_of_records() {
    let word = |content: RecordContent| content.word();
    assert_eq!(word(RecordContent::Condemned(Condemned::default())), "condemned");
    assert_eq!(word(RecordContent::Go(removal(0, 0))), "verdict");
    assert_eq!(word(RecordContent::Cancel), "verdict");
    assert_eq!(word(RecordContent::Done(Done::default())), "done");
}

#[test]
fn numbers_of_records() {
    let with = |number, nanos| {
        let created = Timestamp { seconds: 0, nanos };
        is_record(&CollectorRecord { number, created, content: RecordContent::Cancel })
    };
    assert!(with(1, 999_999_999) && !with(1, 1_000_000_000) && !with(0, 0));
    assert!(with(limits::GENERATION_MAX, 0) && !with(limits::GENERATION_MAX + 1, 0));
    let condemned = |oldest| {
        let content = Condemned { oldest, removal: removal(1, 1) };
        is_record(&record(RecordContent::Condemned(content)))
    };
    assert!(condemned(0) && condemned(5) && !condemned(6));
}

#[test]
fn lists_of_records() {
    let go = |removal| is_record(&record(RecordContent::Go(removal)));
    let (packs, snapshots) = (limits::RECORD_PACKS_MAX, limits::RECORD_SNAPSHOTS_MAX);
    assert!(go(removal(packs, snapshots)) && go(removal(0, 0)));
    assert!(!go(removal(packs + 1, 0)) && !go(removal(0, snapshots + 1)));
    let mut unsorted = removal(2, 0);
    unsorted.packs.swap(0, 1);
    assert!(!go(unsorted));
    let mut twice = removal(1, 1);
    twice.packs.push(twice.packs[0]);
    assert!(!go(twice.clone()));
    twice.packs.pop();
    twice.snapshots.push(twice.snapshots[0]);
    assert!(!go(twice));
}

#[test]
fn limits_of_intents() {
    let intent = |packs: usize| Intent {
        session: snapshot(1),
        number: 0,
        created: Timestamp { seconds: 0, nanos: 999_999_999 },
        host: String::new(),
        generation: 0,
        root: None,
        parent: None,
        packs: (0..packs).map(object).collect(),
        extensions: vec![Extension { tag: 0x7fff, bytes: Vec::new() }],
    };
    let is_intent = |intent: &Intent| Intent::decode(&intent.encode()).is_ok();
    let most = limits::RECORD_PACKS_MAX;
    assert!(is_intent(&intent(0)) && is_intent(&intent(most)) && !is_intent(&intent(most + 1)));
    let mut late = intent(1);
    late.created.nanos = 1_000_000_000;
    assert!(!is_intent(&late));
    let mut critical = intent(1);
    critical.extensions[0].tag = 0x8000;
    assert!(!is_intent(&critical));
    let mut twice = intent(1);
    twice.packs.push(twice.packs[0]);
    assert!(!is_intent(&twice));
}
