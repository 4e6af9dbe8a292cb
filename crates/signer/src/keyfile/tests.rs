use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const WORK: WorkFactor = WorkFactor::Fixed(2);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

fn written() -> (TempDir, PathBuf, SecretBytes) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.age");
    let secret = SecretBytes::new([7; 32]);
    write(&path, KeyUse::CovenantKey, &secret, &passphrase("correct horse"), WORK).unwrap();
    (folder, path, secret)
}

#[test]
fn a_secret_is_read_back_with_its_passphrase_and_for_its_use_only() {
    let (_folder, path, secret) = written();
    let back = read(&path, KeyUse::CovenantKey, &passphrase("correct horse")).unwrap();
    assert_eq!(back.expose(), secret.expose());
    let wrong = read(&path, KeyUse::CovenantKey, &passphrase("correct hors")).unwrap_err();
    assert!(matches!(wrong, KeyFileError::WrongPassphrase(_)), "{wrong}");
    let other = read(&path, KeyUse::ProviderSeed, &passphrase("correct horse")).unwrap_err();
    assert!(
        matches!(
            other,
            KeyFileError::OtherUse { found: KeyUse::CovenantKey, expected: KeyUse::ProviderSeed, .. }
        ),
        "{other}"
    );
}

#[test]
fn the_age_library_opens_the_file_with_the_passphrase_alone() {
    let (_folder, path, _) = written();
    let identity = scrypt::Identity::new(passphrase("correct horse").to_age());
    let text = age::decrypt(&identity, &std::fs::read(path).unwrap()).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), format!("tapstake covenant-key 1\n{}\n", "07".repeat(32)));
}

#[test]
fn a_key_file_is_never_replaced_and_nothing_is_left_beside_it() {
    let (folder, path, _) = written();
    let before = std::fs::read(&path).unwrap();
    let error =
        write(&path, KeyUse::CovenantKey, &SecretBytes::generate(), &passphrase("x"), WORK).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_key_file_has_mode_600() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path, _) = written();
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_cut_off_anywhere_is_damaged() {
    let (_folder, path, _) = written();
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = read(&path, KeyUse::CovenantKey, &passphrase("correct horse")).unwrap_err();
        assert!(matches!(error, KeyFileError::Damaged { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn a_file_with_any_byte_changed_is_refused() {
    let (_folder, path, _) = written();
    let whole = std::fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let error = read(&path, KeyUse::CovenantKey, &passphrase("correct horse")).unwrap_err();
        // What wraps the file's key is authenticated by the passphrase alone: there a change looks like a wrong one.
        assert!(
            matches!(
                error,
                KeyFileError::Damaged { .. }
                    | KeyFileError::WrongPassphrase(_)
                    | KeyFileError::NoPassphrase(_)
                    | KeyFileError::TooMuchWork { .. }
            ),
            "byte {place}: {error}"
        );
    }
}

#[test]
fn a_foreign_file_that_asks_for_much_work_is_not_tried() {
    let (_folder, path, _) = written();
    let whole = std::fs::read(&path).unwrap();
    let header = whole.windows(3).position(|bytes| bytes == b" 2\n").unwrap();
    let asking = [&whole[..header], b" 30\n", &whole[header + 3..]].concat();
    std::fs::write(&path, asking).unwrap();
    let error = read(&path, KeyUse::CovenantKey, &passphrase("correct horse")).unwrap_err();
    assert!(matches!(error, KeyFileError::TooMuchWork { required: 30, most: 20, .. }), "{error}");
    std::fs::write(&path, vec![b'a'; 100_000]).unwrap();
    let error = read(&path, KeyUse::CovenantKey, &passphrase("correct horse")).unwrap_err();
    assert!(error.to_string().contains("longer than 4096 bytes"), "{error}");
}

#[test]
fn a_file_for_an_age_key_or_with_other_contents_is_refused() {
    let (_folder, path, _) = written();
    let key = age::x25519::Identity::generate();
    std::fs::write(&path, age::encrypt(&key.to_public(), b"tapstake covenant-key 1\n").unwrap()).unwrap();
    let error = read(&path, KeyUse::CovenantKey, &passphrase("correct horse")).unwrap_err();
    assert!(matches!(error, KeyFileError::NoPassphrase(_)), "{error}");

    let digits = "07".repeat(32);
    for (text, reason) in [
        (format!("tapstake covenant-key 2\n{digits}\n"), "format 2 is newer"),
        (format!("tapstake other-key 1\n{digits}\n"), "unknown use other-key"),
        (format!("tapstake covenant-key 1\n{}\n", &digits[2..]), "64 hex digits"),
        (format!("tapstake covenant-key 1\n{digits}\nmore"), "64 hex digits"),
        ("AGE-SECRET-KEY-1".to_owned(), "no key of tapstake"),
    ] {
        let mut sealed = Vec::new();
        let mut writer = encryptor(&passphrase("correct horse"), 2).wrap_output(&mut sealed).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap();
        std::fs::write(&path, sealed).unwrap();
        let error = read(&path, KeyUse::CovenantKey, &passphrase("correct horse")).unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains(&digits[2..]), "{error}");
    }
}

#[test]
fn work_factors_out_of_bounds_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.age");
    for given in [0, WorkFactor::MOST + 1, 255] {
        let work = WorkFactor::Fixed(given);
        let error = write(&path, KeyUse::CovenantKey, &SecretBytes::generate(), &passphrase("x"), work);
        assert!(matches!(error, Err(KeyFileError::WorkFactor { given: same, most: 20 }) if same == given));
        assert!(!path.exists());
    }
}

#[test]
fn secrets_and_passphrases_do_not_print() {
    let secret = SecretBytes::new([0xab; 32]);
    let debug = format!("{secret:?} {:?}", passphrase("correct horse"));
    assert!(!debug.contains("ab") && !debug.contains("171") && !debug.contains("horse"), "{debug}");
    let error = SecretBytes::from_hex("abcd").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("abcd"));
    assert!(Passphrase::new(String::new()).is_none());
}
