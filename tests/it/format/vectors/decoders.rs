//! The real decoders, for a file of any kind.

use drumlin::compress::SegmentDecompressor;
use drumlin::container::{Opener, Segment, open_single, verify_pack};
use drumlin::crypto::keyring::Keyring;
use drumlin::crypto::phrase::secret_of_words;
use drumlin::crypto::signing;
use drumlin::crypto::slot::{Secret, open_info, unwrap};
use drumlin::format::codec;
use drumlin::format::config::Config;
use drumlin::format::container::ContainerKind;
use drumlin::format::generation::CollectorRecord;
use drumlin::format::intent::Intent;
use drumlin::format::node::{ListNode, TreeNode};
use drumlin::format::run::RunToc;
use drumlin::format::slot::Slot;
use drumlin::format::snapshot::{CommitSlot, Snapshot};
use drumlin::format::tombstone::{Tombstone, TombstoneSlot};
use zeroize::Zeroizing;

/// The passphrase of every passphrase slot among the vectors.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// Returns why `bytes` is not a sound `what`.
pub fn judge(what: &str, bytes: &[u8]) -> Result<(), String> {
    let keyring = super::keyring();
    match what {
        "data pack" => verify_pack(keyring.open_packs(), keyring.ids(), ContainerKind::Data, bytes)
            .map(drop)
            .map_err(text),
        "meta pack" => verify_pack(keyring.open_packs(), keyring.ids(), ContainerKind::Meta, bytes)
            .map(drop)
            .map_err(text),
        "index run" => judge_run(&keyring, bytes),
        "snapshot" => judge_snapshot(&keyring, bytes),
        "tombstone" => {
            judge_mark(&keyring, (ContainerKind::Tombstone, signing::verify_tombstone), bytes)
        }
        "protection" => {
            judge_mark(&keyring, (ContainerKind::Protection, signing::verify_protection), bytes)
        }
        "tombstone structure" => Tombstone::decode(bytes).map(drop).map_err(text),
        "config" => {
            let plain = open_single(keyring.records().open(), ContainerKind::Config, bytes)
                .map_err(text)?;
            Config::decode(&plain).map(drop).map_err(text)
        }
        "intent" => {
            let plain = open_single(keyring.records().open(), ContainerKind::Intent, bytes)
                .map_err(text)?;
            Intent::decode(&plain).map(drop).map_err(text)
        }
        "collector record" => {
            let plain =
                open_single(keyring.records().open(), ContainerKind::CollectorRecord, bytes)
                    .map_err(text)?;
            CollectorRecord::decode(&plain).map(drop).map_err(text)
        }
        "intent structure" => Intent::decode(bytes).map(drop).map_err(text),
        "collector record structure" => CollectorRecord::decode(bytes).map(drop).map_err(text),
        "key slot" => judge_slot(&keyring, bytes),
        "segment" => Segment::parse(bytes.to_vec()).map(drop).map_err(text),
        "directory" => super::directories::judge_directory(bytes),
        "tree node" => TreeNode::decode(bytes).map(drop).map_err(text),
        "list node" => ListNode::decode(bytes).map(drop).map_err(text),
        "snapshot structure" => Snapshot::decode(bytes).map(drop).map_err(text),
        "config structure" => Config::decode(bytes).map(drop).map_err(text),
        "index run table" => RunToc::decode(bytes).map(drop).map_err(text),
        "u64" => codec::decode::<u64>("u64", bytes).map(drop).map_err(text),
        "bytes" => codec::decode::<Vec<u8>>("bytes", bytes).map(drop).map_err(text),
        "string" => codec::decode::<String>("string", bytes).map(drop).map_err(text),
        "Option<u64>" => codec::decode::<Option<u64>>("option", bytes).map(drop).map_err(text),
        "words" => {
            secret_of_words(std::str::from_utf8(bytes).map_err(text)?).map(drop).map_err(text)
        }
        _ => panic!("nothing is known about a {what}"),
    }
}

pub fn text(error: impl ToString) -> String {
    error.to_string()
}

fn judge_snapshot(keyring: &Keyring, bytes: &[u8]) -> Result<(), String> {
    let plain =
        open_single(keyring.records().open(), ContainerKind::Snapshot, bytes).map_err(text)?;
    let CommitSlot::Snapshot { signed, signature } =
        codec::decode("commit slot", &plain).map_err(text)?
    else {
        return Ok(());
    };
    let snapshot = Snapshot::decode(&signed).map_err(text)?;
    if snapshot.writer != keyring.sign().public() {
        return Err("signed by an unknown writer".to_string());
    }
    if !signing::verify_snapshot(&snapshot.writer, &signed, &signature) {
        return Err("the signature does not hold".to_string());
    }
    Ok(())
}

/// Says whether a signature is a key's over some bytes.
type Verify = fn(&[u8; 32], &[u8], &[u8; 64]) -> bool;

fn judge_mark(
    keyring: &Keyring,
    (kind, verify): (ContainerKind, Verify),
    bytes: &[u8],
) -> Result<(), String> {
    let plain = open_single(keyring.records().open(), kind, bytes).map_err(text)?;
    let slot: TombstoneSlot = codec::decode("tombstone", &plain).map_err(text)?;
    let tombstone = Tombstone::decode(&slot.signed).map_err(text)?;
    if tombstone.writer != keyring.sign().public() {
        return Err("signed by an unknown writer".to_string());
    }
    if !verify(&tombstone.writer, &slot.signed, &slot.signature) {
        return Err("the signature does not hold".to_string());
    }
    Ok(())
}

fn judge_slot(keyring: &Keyring, bytes: &[u8]) -> Result<(), String> {
    let slot = Slot::decode(bytes).map_err(text)?;
    if slot.repository != super::REPOSITORY {
        // The program leaves such slots out: `repo::slots::open_any`, by what its caller accepts.
        return Err(text(drumlin::format::codec::DecodeError::new(
            "key slot",
            "of another repository",
        )));
    }
    let secret = match slot.kdf {
        drumlin::format::slot::SlotKdf::KeyFile => Secret::KeyFile(Zeroizing::new(super::master())),
        _ => Secret::Passphrase(Zeroizing::new(PASSPHRASE.to_string())),
    };
    let bundle = unwrap(&slot, &secret).map_err(text)?.ok_or("the secret does not open it")?;
    let drumlin::format::slot::Bundle::Full { master } = bundle;
    assert_eq!(master, super::master());
    open_info(keyring.slots(), &slot).map(drop).map_err(text)
}

fn judge_run(keyring: &Keyring, bytes: &[u8]) -> Result<(), String> {
    let opener = Opener::from_header(keyring.records().open(), ContainerKind::IndexRun, bytes)
        .map_err(text)?;
    let (trailer, toc) = opener.whole_toc(bytes).map_err(text)?;
    let toc = RunToc::decode(&toc).map_err(text)?;
    toc.check(&trailer).map_err(text)?;
    let mut last = None;
    for at in 0..toc.fences.len() {
        let place = toc.block(at);
        let mut stored = bytes[place.offset as usize..][..place.stored_len()].to_vec();
        let mut raw = Vec::new();
        let frame = opener
            .segment(place.offset, &mut stored, &mut SegmentDecompressor::default(), &mut raw)
            .map_err(text)?;
        let records = toc.parse_block(at, &frame, &raw).map_err(text)?;
        if last.is_some_and(|(class, id)| class == place.class && id >= records[0].id) {
            return Err("blocks do not ascend".to_string());
        }
        last = records.last().map(|record| (place.class, record.id));
    }
    Ok(())
}
