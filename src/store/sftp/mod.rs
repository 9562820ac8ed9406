//! A folder of another machine, reached by SFTP, as a store. Spec: `format-spec/12-store.md`.

pub mod options;
