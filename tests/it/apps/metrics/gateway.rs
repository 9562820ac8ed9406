//! Goal: a Pushgateway has what was pushed, under the labels that were meant, and what is pushed
//! replaces what was there; certificates are verified. Method: a real Pushgateway is asked what it
//! has; a TLS server whose authority a process of its own trusts, or does not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use drumlin::metrics::values::{App, Values};
use drumlin::metrics::{Group, PushError, push, text};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::full::{HARD, full};
use super::{Sample, get, now_s, samples_of, sorted, wait_for};
use crate::support::name_of_test;
use crate::support::servers::{Server, free_address, run};

pub struct Gateway {
    pub url: String,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub fn start() -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let listen = format!("--web.listen-address={address}");
        let log = folder.path().join("log");
        let server = Server::start("prometheus-pushgateway", &[&listen], &log);
        let gateway = Self { url: format!("http://{address}"), _server: server, _folder: folder };
        wait_for("the start of the Pushgateway", || gateway.groups());
        gateway
    }

    /// Returns all groups.
    pub fn groups(&self) -> Option<Vec<Value>> {
        get(&format!("{}/api/v1/metrics", self.url), "")?["data"].as_array().cloned()
    }

    /// Returns the series of all groups, without those that the Pushgateway adds.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for group in self.groups().unwrap() {
            for (name, family) in group.as_object().unwrap() {
                if !name.starts_with("drumlin_") {
                    continue;
                }
                for metric in family["metrics"].as_array().unwrap() {
                    let mut labels: std::collections::BTreeMap<String, String> =
                        serde_json::from_value(metric["labels"].clone()).unwrap();
                    labels.insert("__name__".to_owned(), name.clone());
                    labels.retain(|label, content| !content.is_empty() && label != "instance");
                    samples.push((labels, metric["value"].as_str().unwrap().parse().unwrap()));
                }
            }
        }
        sorted(samples)
    }
}

#[test]
fn the_gateway_has_what_was_pushed() {
    let (gateway, values) = (Gateway::start(), full(now_s()));
    let mut expected = Vec::new();
    let apps = ["wiki", HARD, "", "a/b", ".", "..", "100%25", "a b+c", "é"];
    for (host, app) in apps.iter().flat_map(|app| [("ada", *app), (HARD, *app)]) {
        let mut values = values.clone();
        values.apps.entry(app.to_owned()).or_insert_with(App::default);
        let text = text(&values.of_app(app));
        push(&Group { url: &gateway.url, host, app }, &text).unwrap();
        let labels = [("job", "drumlin"), ("host", host), ("app", app)];
        expected.extend(samples_of(&text, &labels));
    }
    assert_eq!(gateway.groups().unwrap().len(), 2 * apps.len());
    assert_eq!(gateway.samples(), sorted(expected));
}

#[test]
fn a_push_replaces_the_whole_group_and_no_other() {
    let gateway = Gateway::start();
    let group = |app| Group { url: &gateway.url, host: "ada", app };
    let (before, after) = (text(&full(now_s()).of_app("wiki")), text(&Values::default()));
    push(&group("wiki"), &before).unwrap();
    push(&group("blog"), &after).unwrap();
    push(&group("wiki"), &after).unwrap();
    let labels = |app| [("job", "drumlin"), ("host", "ada"), ("app", app)];
    let both = [samples_of(&after, &labels("wiki")), samples_of(&after, &labels("blog"))];
    assert_eq!(gateway.samples(), sorted(both.concat()));
    // What it refuses changes nothing.
    let error = push(&group("wiki"), "drumlin_x{ 1\n").unwrap_err();
    assert!(matches!(error, PushError::Refused { status: 400, .. }), "{error:?}");
    assert_eq!(gateway.samples(), sorted(both.concat()));
}

/// Makes an authority and a certificate for `localhost` by it.
fn make_certificates(folder: &Path) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
    let (leaf, key, request, names) =
        (path("leaf.pem"), path("leaf.key"), path("leaf.csr"), path("names"));
    std::fs::write(&names, "subjectAltName=DNS:localhost").unwrap();
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let authority = ["-x509", "-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca];
    run("openssl", &[&new[..], &authority].concat());
    let asks = ["-subj", "/CN=localhost", "-keyout", &key, "-out", &request];
    run("openssl", &[&new[..], &asks].concat());
    let signs = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key];
    let gives = ["-CAcreateserial", "-days", "2", "-extfile", &names, "-out", &leaf];
    run("openssl", &[&signs[..], &gives].concat());
}

/// Accepts everything over TLS until the test's process ends; returns its URL.
fn tls_server(folder: &Path) -> String {
    let chain = vec![CertificateDer::from_pem_file(folder.join("leaf.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("leaf.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut session, &mut stream);
            // A client that does not trust it hangs up.
            let mut request = [0; 4096];
            if tls.read(&mut request).is_ok_and(|len| request[..len].starts_with(b"PUT /")) {
                tls.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        }
    });
    format!("https://localhost:{port}")
}

/// The address of the server for the test that is run again as a process of its own.
const URL: &str = "DRUMLIN_TEST_PUSH_URL";

#[test]
fn certificates_are_verified_by_the_systems_authorities() {
    if let Ok(url) = std::env::var(URL) {
        if let Err(error) = push(&Group { url: &url, host: "ada", app: "wiki" }, "x 1\n") {
            panic!("{}", drumlin::monitor::in_words(&error));
        }
        return;
    }
    let (folder, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_certificates(folder.path());
    make_certificates(others.path());
    let url = tls_server(folder.path());
    let push_trusting = |authority: &Path| {
        let test = "certificates_are_verified_by_the_systems_authorities";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &name_of_test(module_path!(), test)]).env(URL, &url);
        command.env("SSL_CERT_FILE", authority).env_remove("SSL_CERT_DIR");
        let output = command.output().unwrap();
        let says = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(says).unwrap())
    };
    let (is_pushed, says) = push_trusting(&folder.path().join("ca.pem"));
    assert!(is_pushed && says.contains("1 passed"), "{says}");
    let (is_pushed, says) = push_trusting(&others.path().join("ca.pem"));
    assert!(!is_pushed && says.contains("certificate"), "{says}");
    std::fs::write(others.path().join("empty.pem"), "").unwrap();
    let (is_pushed, says) = push_trusting(&others.path().join("empty.pem"));
    assert!(!is_pushed && says.contains("no certificate authorities"), "{says}");
}
