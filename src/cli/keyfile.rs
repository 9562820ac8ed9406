//! Key files and recovery kits: 24 words in a file that only its owner may read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::exit::Exit;
use super::failure::Failure;
use crate::crypto::kdf::Key;
use crate::crypto::phrase::{WORDS_BEGIN, WORDS_END, words_of};
use crate::format::entry::Timestamp;
use crate::settings::location::Location;
use crate::text;

/// The label of a recovery kit's key slot.
pub(super) const KIT_LABEL: &str = "recovery kit";

/// Facts about the repository in a recovery kit.
pub(super) struct KitDetails<'a> {
    /// Location of the repository.
    pub location: &'a str,
    /// Id of the repository in hex.
    pub repository_id: &'a str,
    /// Fingerprint of its keys.
    pub fingerprint: [u8; 32],
    /// Host on which the kit is made.
    pub host: &'a str,
    /// Time at which it is made.
    pub made: Timestamp,
}

/// Returns a fresh secret.
pub(super) fn new_secret() -> Result<Key, Failure> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|error| {
        Failure::new(Exit::Error, format!("the system gave no random bytes: {error}"))
    })?;
    Ok(secret)
}

/// Writes a key file; an existing file is never touched.
pub(super) fn write_key_file(
    path: &Path,
    secret: &Key,
    location: &str,
    fingerprint: &[u8; 32],
    made: Timestamp,
) -> Result<(), Failure> {
    let words = words_of(secret);
    let text = Zeroizing::new(format!(
        "# Drumlin key file. Whoever has it can read the repository that it opens, and without it\n\
         # (or another key of that repository) nothing can be read. Keep a copy on another \
         medium.\n\
         # Repository: {location}\n\
         {fingerprint}\n\
         # Made: {made}\n\
         {words}\n",
        fingerprint = fingerprint_line(fingerprint),
        made = text::local_time(made),
        words = *words,
    ));
    write_new(path, &text)
}

/// Length in bytes up to which a key file is extended: half of the length that is read.
const GROWN_LEN_MAX_BYTES: u64 = 32 << 10;

/// Adds one more repository to a key file, durably.
///
/// Fails if the file would become too long to be read, and if it is no regular file.
pub(super) fn add_repository(
    path: &Path,
    location: &str,
    fingerprint: &[u8; 32],
) -> io::Result<()> {
    let found = path.metadata()?;
    if !found.is_file() || found.len() > GROWN_LEN_MAX_BYTES {
        return Err(io::Error::other("it is too long for a key file, or not a regular file"));
    }
    let mut file = File::options().append(true).open(path)?;
    let location = text::printable(location.as_bytes());
    file.write_all(
        format!("\n# Repository: {location}\n{}\n", fingerprint_line(fingerprint)).as_bytes(),
    )?;
    file.sync_all()
}

/// Returns the line of a key file that identifies a repository.
pub(super) fn fingerprint_line(fingerprint: &[u8; 32]) -> String {
    format!("# Fingerprint: {}", grouped(fingerprint))
}

/// Returns the start of a fingerprint in groups that can be read aloud.
pub(super) fn grouped(fingerprint: &[u8; 32]) -> String {
    fingerprint[..16].chunks(2).map(crate::id::encode_hex).collect::<Vec<_>>().join("-")
}

/// Writes a recovery kit; an existing file is never touched.
pub(super) fn write_kit(
    path: &Path,
    secret: &Key,
    details: &KitDetails<'_>,
) -> Result<(), Failure> {
    write_new(path, &kit_text(secret, details))
}

/// Writes a new file for its owner only, atomically and durably; replaces no existing file.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    try_write_new(path, text).map_err(|error| {
        let failure = Failure::file("create", path, &error);
        if error.kind() == io::ErrorKind::AlreadyExists {
            failure.hint("existing files are never overwritten: choose another name")
        } else {
            failure
        }
    })
}

fn try_write_new(path: &Path, text: &str) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is made with O_EXCL and mode 0600.
    let mut file = tempfile::Builder::new().prefix(".drumlin-key-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    File::open(folder)?.sync_all()
}

/// Returns the text of a recovery kit, written for a reader who does not know Drumlin.
pub(super) fn kit_text(secret: &Key, details: &KitDetails<'_>) -> Zeroizing<String> {
    let location = text::shell_word(details.location);
    let (else_needed, first_step) = way_to(details.location, &location);
    Zeroizing::new(format!(
        "DRUMLIN RECOVERY KIT\n\
         ====================\n\
         \n\
         With this page, all files in the backup named below can be read and copied back.\n\
         {else_needed}\n\
         Keep it like the key of a house: whoever has it can read everything.\n\
         \n\
         Backup is at   {location_text}\n\
         On computer    {host}\n\
         Repository     {id}\n\
         Fingerprint    {fingerprint}\n\
         Made           {made}, by {program}\n\
         \n\
         {WORDS_BEGIN}\n\
         {words}\
         {WORDS_END}\n\
         \n\
         HOW TO GET THE FILES BACK\n\
         \n\
         A relative or friend who has used Linux before can do this in an hour.\n\
         \n\
         1. {first_step}\n\
         2. Get the program Drumlin for that computer (Linux). It may lie beside the backup.\n\
         3. If this page is on paper, type the 24 words into a text file named kit.txt.\n   \
            Their order matters; numbers, line breaks and capital letters do not.\n   \
            If you have this page as a file, use that file as it is.\n\
         4. Open a terminal in the folder of kit.txt. To see which backups there are:\n\
         \n      \
               drumlin --repo {location} --key-file kit.txt snapshots\n\
         \n\
         5. To copy everything of the newest one into a new folder named \"restored\":\n\
         \n      \
               drumlin --repo {location} --key-file kit.txt restore latest --target restored\n\
         \n   \
            This changes nothing in the backup, and it can be interrupted and repeated.\n\
         6. To be sure that the backup is whole:\n\
         \n      \
               drumlin --repo {location} --key-file kit.txt check --level full\n\
         \n\
         If the program cannot be found any more: the file format is described in full in the\n\
         folder \"format-spec\" of its source code, with a reader of a few hundred lines of\n\
         Python (reader.py) that restores a backup from these words alone.\n",
        location_text = details.location,
        host = details.host,
        id = details.repository_id,
        fingerprint = grouped(&details.fingerprint),
        made = text::local_time(details.made),
        program = super::global::PROGRAM,
        words = *numbered_words(secret),
    ))
}

/// Returns the words in six lines of four, numbered.
fn numbered_words(secret: &Key) -> Zeroizing<String> {
    let words = words_of(secret);
    let mut out = Zeroizing::new(String::with_capacity(512));
    for (at, word) in words.split_whitespace().enumerate() {
        let end = if at % 4 == 3 { "\n" } else { "  " };
        let padding = " ".repeat(if at % 4 == 3 { 0 } else { 10 - word.len().min(10) });
        out.extend([&format!("{:>4}. ", at + 1), word, &padding, end]);
    }
    out
}

/// Returns what is needed in addition to the words, and the first step.
fn way_to(location: &str, word: &str) -> (&'static str, String) {
    const ACCESS: &str = "Beside it, only access to the place of the backup is needed, which step \
        1 is about:\n\
                          no password of the backup, not the computer that made it.";
    let step = match Location::parse(location.as_ref(), Path::new("/")) {
        Ok(Location::S3(_)) => {
            "The backup is in a bucket of a storage provider. To read it, an access key of the\n   \
             account there is needed, which has two parts. Write both down here, or where they \
             are:\n\n      \
             export AWS_ACCESS_KEY_ID=________________________\n      \
             export AWS_SECRET_ACCESS_KEY=____________________\n\n   \
             and type these two lines in the terminal first. The account must be paid for!"
        }
        Ok(Location::Sftp(_)) => {
            "The backup is on another machine. To read it, its password is needed. Write it \
             down\n   \
             here, or where it is, and type this line in the terminal first:\n\n      \
             export DRUMLIN_SSH_PASSWORD=_____________________\n\n   \
             If that machine is rented, the account must be paid for!"
        }
        Ok(Location::Local(_)) => {
            let step = format!(
                "Find the disk or computer that \"Backup is at\" names. If it was a disk that \
                 was\n   \
                 plugged in, plug it into the computer you use now; its folder may then have\n   \
                 another name, which takes the place of {word} below."
            );
            return (
                "Nothing else is needed: no password, no account, not the computer that made it.",
                step,
            );
        }
        Err(_) => "Find the place that \"Backup is at\" names, and what opens it.",
    };
    (ACCESS, step.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::crypto::phrase::secret_of_words;

    const ABOUT: KitDetails<'_> = KitDetails {
        location: "/mnt/usb disk/r",
        repository_id: "00ff",
        fingerprint: [0xab; 32],
        host: "thinkpad",
        made: Timestamp { seconds: 0, nanos: 0 },
    };

    #[test]
    fn key_files_and_kits_open_what_they_were_made_for() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = new_secret().unwrap();
        let (key, kit) = (scratch.path().join("a.key"), scratch.path().join("kit.txt"));
        write_key_file(&key, &secret, "/r", &ABOUT.fingerprint, ABOUT.made).unwrap();
        write_kit(&kit, &secret, &ABOUT).unwrap();
        for path in [&key, &kit] {
            assert_eq!(secret_of_words(&std::fs::read_to_string(path).unwrap()).unwrap(), secret);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
    }

    #[test]
    fn existing_files_are_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.key");
        std::fs::write(&path, "precious").unwrap();
        assert!(
            write_key_file(&path, &new_secret().unwrap(), "/r", &ABOUT.fingerprint, ABOUT.made)
                .is_err()
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_kit_shows_commands_that_a_shell_understands() {
        let kit = kit_text(&new_secret().unwrap(), &ABOUT);
        assert!(kit.contains(
            "drumlin --repo '/mnt/usb disk/r' --key-file kit.txt restore latest --target restored\n"
        ));
        assert!(kit.contains("\n   1. ") && kit.contains(" 24. "));
        assert!(kit.lines().all(|line| line.len() <= 110));
        assert!(kit.contains("Nothing else is needed: no password"));
    }

    #[test]
    fn a_kit_for_another_machine_says_how_to_get_in() {
        for (location, variable) in [
            ("s3://bucket/x?endpoint=https://fsn1.your-objectstorage.com", "AWS_SECRET_ACCESS_KEY"),
            ("sftp://u1@u1.your-storagebox.de:23/./drumlin", "DRUMLIN_SSH_PASSWORD"),
        ] {
            let kit = kit_text(&new_secret().unwrap(), &KitDetails { location, ..ABOUT });
            assert!(
                kit.contains(&format!("export {variable}=___"))
                    && !kit.contains("Nothing else is needed"),
                "{}",
                *kit
            );
            assert!(kit.contains(&format!(
                "drumlin --repo {} --key-file kit.txt snapshots\n",
                text::shell_word(location)
            )));
            assert!(kit.lines().all(|line| line.len() <= 160));
        }
    }
}
