use super::*;

fn parse(text: &str) -> Result<Location, LocationError> {
    Location::parse(text.as_ref(), Path::new("/base"))
}

fn s3(text: &str) -> Bucket {
    match parse(text) {
        Ok(Location::S3(bucket)) => bucket,
        other => panic!("{text}: {other:?}"),
    }
}

fn sftp(text: &str) -> Remote {
    match parse(text) {
        Ok(Location::Sftp(remote)) => remote,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn paths_and_file_urls() {
    for (text, path) in [
        ("/mnt/usb/", "/mnt/usb"),
        ("backup", "/base/backup"),
        ("./a:b", "/base/a:b"),
        ("./s3:x", "/base/s3:x"),
        ("./x/../y", "/base/x/../y"),
        ("file:///mnt/my%20disk", "/mnt/my disk"),
        ("file:///100%", "/100%"),
        ("file:///a%+1", "/a%+1"),
        ("a@b", "/base/a@b"),
        ("dir/odd://name", "/base/dir/odd:/name"),
    ] {
        assert_eq!(parse(text), Ok(Location::Local(path.into())), "{text}");
    }
}

#[test]
fn places_in_buckets() {
    let bucket = |name: &str, prefix: &str| Bucket {
        name: name.into(),
        prefix: prefix.into(),
        ..Bucket::default()
    };
    for (text, name, prefix) in [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b/", "my.bucket-1", "a/b"),
        ("s3://bucket/with%20space%3F", "bucket", "with space?"),
    ] {
        assert_eq!(s3(text), bucket(name, prefix), "{text}");
    }
    let full = s3("s3://bucket/x?endpoint=https://fsn1.your-objectstorage.com:8443&region=fsn1");
    assert_eq!(full.endpoint.as_deref(), Some("https://fsn1.your-objectstorage.com:8443"));
    assert_eq!((full.prefix.as_str(), full.region.as_deref()), ("x", Some("fsn1")));
}

#[test]
fn folders_of_other_machines() {
    let remote = |user: Option<&str>, host: &str, port, path: &str| Remote {
        user: user.map(str::to_owned),
        host: host.into(),
        port,
        path: path.into(),
    };
    for (text, expected) in [
        (
            "sftp://u1@u1.your-storagebox.de:23/./drumlin",
            remote(Some("u1"), "u1.your-storagebox.de", Some(23), "drumlin"),
        ),
        ("sftp://vault/srv//backup/", remote(None, "vault", None, "/srv/backup")),
        ("sftp://ada@vault/.", remote(Some("ada"), "vault", None, ".")),
        ("sftp://ada@vault/./a/../b", remote(Some("ada"), "vault", None, "a/../b")),
        ("sftp://ada%40example.com@vault/x", remote(Some("ada@example.com"), "vault", None, "/x")),
        ("sftp://ada@example.com@vault/x", remote(Some("ada@example.com"), "vault", None, "/x")),
        (
            "sftp://ada@[2001:db8::1]:2222/x%20y",
            remote(Some("ada"), "2001:db8::1", Some(2222), "/x y"),
        ),
        ("sftp://[fe80::1%25eth0]/x", remote(None, "fe80::1%eth0", None, "/x")),
    ] {
        assert_eq!(sftp(text), expected, "{text}");
    }
}

#[test]
fn what_is_shown_can_be_parsed_again() {
    for text in [
        "/mnt/usb",
        "s3://bucket",
        "s3://bucket/a b/c",
        "s3://bucket/a%3Fb%25?endpoint=http://127.0.0.1:9000&region=a%26b",
        "sftp://ada%40home%3A@[::1]:22/srv/100%25",
        "sftp://vault/./a",
        "sftp://vault/./.",
    ] {
        let location = parse(text).unwrap();
        assert_eq!(
            (location.to_string().as_str(), parse(&location.to_string())),
            (text, Ok(location))
        );
    }
}

#[test]
fn the_rest_is_refused_by_name() {
    assert_eq!(parse(""), Err(LocationError::Empty));
    assert_eq!(parse("https://x"), Err(LocationError::UnknownScheme("https://".into())));
    assert!(matches!(parse("file://host/x"), Err(LocationError::FileUrl(_))));
    assert!(matches!(parse("file:relative"), Err(LocationError::FileUrl(_))));
    for text in [
        "rclone:remote:path",
        "b2:bucket:path",
        "rest:host/path",
        "azure:container:/",
        "gs:bucket:/",
        "opendal:sftp",
    ] {
        assert!(
            matches!(parse(text), Err(LocationError::OtherProgram { .. })),
            "{text}: {:?}",
            parse(text)
        );
        assert!(matches!(parse(&format!("./{text}")), Ok(Location::Local(_))), "{text}");
    }
    for text in ["~", "~/backup", "~ada/backup"] {
        assert!(matches!(parse(text), Err(LocationError::Tilde(_))), "{text}");
    }
    for text in [
        "u@host:backup",
        "s3:bucket",
        "sftp:u@host",
        "nas:backup",
        "nas:/backup/repo",
        "192.0.2.1:/backup",
        "host:relative",
        "C:\\backup",
    ] {
        assert!(matches!(parse(text), Err(LocationError::LooksRemote(_))), "{text}");
    }
    for text in [
        "s3://",
        "s3:///x",
        "s3://ab/x",
        "s3://bu cket",
        "s3://bucket/a//b",
        "s3://bucket/../b",
        "s3://bucket/x?endpoint=",
        "s3://bucket/x?acl=public",
        "s3://bucket/%ff",
    ] {
        assert!(
            matches!(parse(text), Err(LocationError::S3Url { .. })),
            "{text}: {:?}",
            parse(text)
        );
    }
    for (text, part) in [
        ("sftp://host", "the path is missing"),
        ("sftp://host/", "the path is missing"),
        ("sftp://host//", "the path is missing"),
        ("sftp:///x", "the host is missing"),
        ("sftp://u@/x", "the host is missing"),
        ("sftp://@host/x", "the user is empty"),
        ("sftp://u:secret@host/x", "no place for a password"),
        ("sftp://host:0/x", "the port"),
        ("sftp://host:66666/x", "the port"),
        ("sftp://host:ssh/x", "the port"),
        ("sftp://::1/x", "brackets"),
        ("sftp://[::1/x", "bracket"),
        ("sftp://[::1]22/x", "between"),
        ("sftp://-oProxyCommand=x/x", "the host"),
        ("sftp://ho st/x", "the host"),
        ("sftp://%5B0:23/x", "the host"),
        ("sftp://[a%5D]/x", "the host"),
        ("sftp://host/a%00b", "zero byte"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(!error.to_string().contains("secret") && !error.hint().is_empty());
    }
}
