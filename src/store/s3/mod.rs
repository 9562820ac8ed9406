//! A bucket of an S3 server as a store. Spec: `format-spec/12-store.md`.

pub mod options;
