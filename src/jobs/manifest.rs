//! The manifest of an app's dumps, as a dump of its own.

use std::io;

use crate::backup::{Dump, DumpSource, FileSink};
use crate::settings::app::AppSettings;
use crate::sources::manifest::{FORMAT, Manifest, PATH, SharedRecord};

/// Plans the manifest. It is opened last, when all records are complete.
pub(super) fn manifest_dump(
    app: &str,
    settings: &AppSettings,
    records: &[SharedRecord],
) -> DumpSource {
    let (app, records) = (app.to_owned(), records.to_vec());
    let paths: Vec<String> =
        settings.paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let configuration = serde_json::json!({ "paths": paths, "root": settings.run.root });
    DumpSource {
        path: PATH.as_bytes().to_vec(),
        open: Box::new(move || {
            let sources = records.iter().map(SharedRecord::get).collect();
            let manifest = Manifest { format: FORMAT, app, configuration, sources };
            Ok(Box::new(Bytes(manifest.encode())))
        }),
        known: None,
        cutting: None,
        original: None,
        may_fail: false,
    }
}

struct Bytes(Vec<u8>);

impl Dump for Bytes {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let file = sink.begin(b"")?;
        sink.write(file, &self.0)?;
        sink.end(file)
    }
}
