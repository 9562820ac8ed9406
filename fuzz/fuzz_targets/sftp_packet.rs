//! What an SFTP server sends: understood or refused, whatever it is, and in no more memory than it
//! takes itself.
#![no_main]

use drumlin::store::sftp::wire::{Answer, Packet, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let Some(Packet::Answer(_, answer)) = decode(packet) else { return };
    let attributes = match &answer {
        Answer::Names(names) => names.iter().map(|(_, attributes)| *attributes).collect(),
        Answer::Attributes(attributes) => vec![*attributes],
        _ => Vec::new(),
    };
    assert!(attributes.iter().all(|attributes| !(attributes.is_file() && attributes.is_dir())));
    let taken = match &answer {
        Answer::Data(bytes) | Answer::Extended(bytes) => bytes.len(),
        Answer::Names(names) => names.iter().map(|(name, _)| name.len() + 12).sum(),
        Answer::Status(_) | Answer::Handle(_) | Answer::Attributes(_) => 0,
    };
    assert!(taken <= packet.len());
    answer.file_system();
});
