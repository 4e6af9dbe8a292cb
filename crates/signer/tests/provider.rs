//! A provider's slashing protection: what it refuses, and what it survives.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::secp256k1::{Secp256k1, SecretKey};
use proptest::prelude::*;
use tapstake_crypto::eots::Vote;
use tapstake_signer::keyfile::{Passphrase, SecretBytes, WorkFactor};
use tapstake_signer::provider::{
    History, KEY_FILE, MAX_COMMITMENT, MarkerState, NewProvider, Origin, Provider, ProviderError, Status,
};
use tapstake_verifier::equivocation::SignedVote;
use tempfile::TempDir;

const SERVICE: &str = "test-chain";

/// A machine: the folder of a provider, the place of its marker, and room for backups.
struct Machine {
    home: TempDir,
}

impl Machine {
    fn new() -> Self {
        Machine { home: tempfile::tempdir().unwrap() }
    }

    /// With a fresh provider that has committed to heights 0 to 999.
    fn with_provider() -> (Self, Provider) {
        let machine = Machine::new();
        let mut provider = machine.init(Origin::Fresh).unwrap();
        provider.commit(0, 1000).unwrap();
        (machine, provider)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("provider")
    }

    fn init(&self, origin: Origin) -> Result<Provider, ProviderError> {
        self.init_in("provider", SERVICE, origin)
    }

    fn init_in(&self, folder: &str, service: &str, origin: Origin) -> Result<Provider, ProviderError> {
        Provider::init(&NewProvider {
            folder: &self.path(folder),
            marker_folder: &self.path("markers"),
            service,
            origin,
            passphrase: &passphrase(),
            work: WorkFactor::Fixed(1),
        })
    }

    fn open(&self) -> Result<Provider, ProviderError> {
        Provider::open(&self.folder(), &passphrase())
    }

    fn recover(&self, last_known_height: u64) -> Result<Provider, ProviderError> {
        Provider::recover(&self.folder(), &passphrase(), last_known_height, None)
    }

    fn back_up(&self, name: &str) {
        copy(&self.folder(), &self.path(name));
    }

    fn restore(&self, name: &str) {
        fs::remove_dir_all(self.folder()).unwrap();
        copy(&self.path(name), &self.folder());
    }

    fn marker(&self) -> PathBuf {
        Status::read(&self.folder()).unwrap().marker
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse".into()).unwrap()
}

fn block(height: u64, fork: u8) -> Vote {
    Vote { height, block_hash: [fork; 32] }
}

#[track_caller]
fn refused<T>(result: Result<T, ProviderError>) -> ProviderError {
    result.err().expect("it is refused")
}

#[test]
fn one_height_gets_one_signature_whatever_is_asked_for_and_however_often() {
    let (machine, mut provider) = Machine::with_provider();
    let first = provider.vote(block(10, 1)).unwrap();
    first.check(&Secp256k1::new()).unwrap();
    assert_eq!((first.provider, first.service.as_str()), (provider.public_key(), SERVICE));
    for _ in 0..2 {
        assert_eq!(provider.vote(block(10, 1)).unwrap(), first);
        let error = refused(provider.vote(block(10, 2)));
        let message = error.to_string();
        assert!(message.contains(&"01".repeat(32)) && message.contains(&"02".repeat(32)), "{message}");
        assert!(matches!(
            error,
            ProviderError::DoubleVote { height: 10, recorded, asked } if recorded == [1; 32] && asked == [2; 32]
        ));
        drop(provider);
        provider = machine.open().unwrap();
    }
}

#[test]
fn only_heights_above_all_recorded_ones_get_a_new_vote() {
    let (_machine, mut provider) = Machine::with_provider();
    let first = provider.vote(block(5, 1)).unwrap();
    provider.vote(block(9, 1)).unwrap();
    for height in 0..=8 {
        match provider.vote(block(height, 1)) {
            Ok(same) => assert_eq!(same, first),
            Err(error) => assert!(
                matches!(error, ProviderError::NotAbove { height: asked, highest: 9 } if asked == height && height != 5),
                "{error}"
            ),
        }
    }
    assert_eq!(provider.vote(block(10, 1)).unwrap().vote.height, 10);
}

#[test]
fn a_height_without_committed_randomness_is_refused_and_not_used_up() {
    let (_machine, mut provider) = Machine::with_provider();
    assert!(matches!(refused(provider.vote(block(1000, 1))), ProviderError::NotCommitted { height: 1000 }));
    provider.commit(1000, 1).unwrap();
    provider.vote(block(1000, 2)).unwrap().check(&Secp256k1::new()).unwrap();
}

#[test]
fn a_commitment_is_the_same_whenever_and_wherever_it_is_asked_for() {
    let secp = Secp256k1::new();
    let seed = SecretBytes::new([3; 32]);
    let machine = Machine::new();
    let mut provider = machine.init(Origin::Seed(seed.clone(), History::NeverVoted)).unwrap();
    let signed = provider.commit(100, 33).unwrap();
    signed.verify(&secp, &provider.public_key()).unwrap();
    assert_eq!(provider.commit(100, 33).unwrap(), signed);
    for (start, count) in [(99, 2), (132, 1), (100, 32), (110, 5), (0, 200)] {
        let error = refused(provider.commit(start, count));
        assert!(matches!(error, ProviderError::Overlap { with: (100, 33), .. }), "{error}");
    }
    provider.commit(0, 100).unwrap();
    provider.commit(133, 1).unwrap();
    drop(provider);
    let elsewhere = Machine::new();
    let mut again = elsewhere.init(Origin::Seed(seed, History::LastKnownHeight(50))).unwrap();
    assert_eq!(again.commit(100, 33).unwrap(), signed);
}

#[test]
fn commitments_to_nothing_to_too_much_or_past_the_end_are_refused() {
    let (_machine, mut provider) = Machine::with_provider();
    for (start, count) in [
        (5000, 0),
        (5000, MAX_COMMITMENT + 1),
        (u64::MAX, 1),
        (1 << 63, 1),
        ((1 << 63) - 2, 2),
        (5000, u64::MAX),
    ] {
        let error = refused(provider.commit(start, count));
        assert!(matches!(error, ProviderError::Range { .. }), "{start} {count}: {error}");
    }
    let last = (1 << 63) - 2;
    provider.commit(last, 1).unwrap();
    provider.vote(block(last, 1)).unwrap();
    assert!(matches!(refused(provider.vote(block(1 << 63, 1))), ProviderError::Height { .. }));
}

#[test]
fn a_second_process_on_the_folder_or_on_a_copy_of_it_is_refused_while_the_first_lives() {
    let (machine, provider) = Machine::with_provider();
    assert!(matches!(refused(machine.open()), ProviderError::Locked { .. }));
    assert!(matches!(refused(machine.recover(5)), ProviderError::Locked { .. }));
    machine.back_up("copy");
    let copied = Provider::open(&machine.path("copy"), &passphrase());
    assert!(
        matches!(refused(copied), ProviderError::Locked { path } if path.starts_with(machine.path("markers")))
    );
    assert_eq!(Status::read(&machine.folder()).unwrap().marker_state, MarkerState::Agrees);
    drop(provider);
    machine.open().unwrap();
}

#[test]
fn a_restored_backup_is_refused_until_the_last_known_height_is_stated() {
    let (machine, mut provider) = Machine::with_provider();
    provider.vote(block(1, 1)).unwrap();
    drop(provider);
    machine.back_up("old");
    let mut provider = machine.open().unwrap();
    for height in [2, 3, 7] {
        provider.vote(block(height, 1)).unwrap();
    }
    drop(provider);
    machine.restore("old");

    for _ in 0..2 {
        let error = refused(machine.open());
        assert!(
            matches!(
                error,
                ProviderError::OldBackup { folder_counter: 1, marker_counter: 4, marker_height: Some(7), .. }
            ),
            "{error}"
        );
    }
    assert_eq!(Status::read(&machine.folder()).unwrap().marker_state, MarkerState::Disagrees { counter: 4 });
    assert!(matches!(
        refused(machine.recover(6)),
        ProviderError::LastKnownHeight { stated: Some(6), recorded: 7 }
    ));
    assert!(matches!(refused(machine.open()), ProviderError::OldBackup { .. }));

    let mut provider = machine.recover(20).unwrap();
    for _ in 0..2 {
        for height in [2, 3, 7, 20] {
            for fork in [1, 2] {
                let error = refused(provider.vote(block(height, fork)));
                assert!(matches!(error, ProviderError::NotAbove { highest: 20, .. }), "{error}");
            }
        }
        drop(provider);
        provider = machine.open().unwrap();
    }
    provider.vote(block(21, 2)).unwrap();
    drop(provider);
    let status = Status::read(&machine.folder()).unwrap();
    assert_eq!((status.floor, status.votes, status.counter, status.next_height), (Some(20), 2, 6, 22));

    // The same backup once more: older still.
    machine.restore("old");
    assert!(matches!(refused(machine.open()), ProviderError::OldBackup { marker_counter: 6, .. }));
}

#[test]
fn a_record_that_lacks_only_the_vote_of_the_marker_takes_it_over() {
    // What a process killed between marker and record leaves; a backup that is one vote old looks the same.
    let (machine, mut provider) = Machine::with_provider();
    provider.vote(block(1, 1)).unwrap();
    drop(provider);
    machine.back_up("old");
    let signed = machine.open().unwrap().vote(block(2, 1)).unwrap();
    machine.restore("old");
    assert_eq!(Status::read(&machine.folder()).unwrap().marker_state, MarkerState::OneAhead);
    let mut provider = machine.open().unwrap();
    assert!(matches!(refused(provider.vote(block(2, 2))), ProviderError::DoubleVote { .. }));
    assert_eq!(provider.vote(block(2, 1)).unwrap(), signed);
    assert_eq!(provider.status().unwrap().marker_state, MarkerState::Agrees);
}

#[test]
fn without_its_marker_a_provider_asks_for_the_last_known_height() {
    let (machine, mut provider) = Machine::with_provider();
    provider.vote(block(4, 1)).unwrap();
    let marker = machine.marker();
    fs::remove_file(&marker).unwrap();
    assert!(matches!(refused(provider.vote(block(5, 1))), ProviderError::MarkerMissing(_)));
    drop(provider);
    assert!(matches!(refused(machine.open()), ProviderError::MarkerMissing(path) if path == marker));
    assert!(matches!(refused(machine.recover(3)), ProviderError::LastKnownHeight { recorded: 4, .. }));
    let mut provider = machine.recover(5).unwrap();
    assert!(matches!(refused(provider.vote(block(5, 1))), ProviderError::NotAbove { highest: 5, .. }));
    provider.vote(block(6, 1)).unwrap();
    drop(provider);

    // The whole folder of markers, as on another machine.
    fs::remove_dir_all(machine.path("markers")).unwrap();
    assert!(matches!(refused(machine.open()), ProviderError::MarkerMissing(_)));
    assert_eq!(Status::read(&machine.folder()).unwrap().marker_state, MarkerState::Missing);
    machine.recover(6).unwrap().vote(block(7, 1)).unwrap();
}

#[test]
fn a_marker_that_is_damaged_older_or_anothers_is_refused() {
    let (machine, mut provider) = Machine::with_provider();
    let marker = machine.marker();
    provider.vote(block(4, 1)).unwrap();
    let older = fs::read(&marker).unwrap();
    provider.vote(block(5, 1)).unwrap();
    provider.vote(block(6, 1)).unwrap();
    let newest = fs::read(&marker).unwrap();

    fs::write(&marker, &older).unwrap();
    assert!(matches!(
        refused(provider.vote(block(7, 1))),
        ProviderError::OldBackup { folder_counter: 3, marker_counter: 1, .. }
    ));
    drop(provider);
    for length in 0..newest.len() {
        fs::write(&marker, &newest[..length]).unwrap();
        let error = refused(machine.open());
        assert!(matches!(error, ProviderError::MarkerDamaged { .. }), "{length}: {error}");
    }
    for place in 0..newest.len() {
        let mut changed = newest.clone();
        changed[place] ^= 1;
        fs::write(&marker, &changed).unwrap();
        let error = refused(machine.open());
        assert!(
            matches!(
                error,
                ProviderError::MarkerDamaged { .. }
                    | ProviderError::OldBackup { .. }
                    | ProviderError::OtherMarker { .. }
            ),
            "byte {place}: {error}"
        );
    }
    fs::write(&marker, vec![b' '; 10_000]).unwrap();
    assert!(matches!(refused(machine.open()), ProviderError::MarkerDamaged { .. }));
    machine.recover(6).unwrap();

    let other = machine.init_in("other", SERVICE, Origin::Fresh).unwrap();
    fs::copy(other.status().unwrap().marker, &marker).unwrap();
    assert!(matches!(refused(machine.open()), ProviderError::OtherMarker { .. }));
    assert!(matches!(refused(machine.recover(6)), ProviderError::OtherMarker { .. }));
}

#[test]
fn a_moved_marker_leaves_none_behind_for_a_copy_of_the_folder() {
    let (machine, mut provider) = Machine::with_provider();
    provider.vote(block(1, 1)).unwrap();
    drop(provider);
    machine.back_up("copy");
    let left = machine.marker();
    let elsewhere = machine.path("elsewhere");
    let moved =
        |height| Provider::recover(&machine.folder(), &passphrase(), height, Some(elsewhere.as_path()));
    assert!(matches!(refused(moved(0)), ProviderError::LastKnownHeight { recorded: 1, .. }));
    drop(moved(1).unwrap());
    let place = machine.marker();
    assert!(place.starts_with(&elsewhere));
    machine.open().unwrap().vote(block(2, 1)).unwrap();
    let names_the_place = |error: ProviderError| {
        let message = error.to_string();
        assert!(message.contains(place.to_str().unwrap()), "{message}");
        assert!(
            matches!(&error, ProviderError::MarkerMoved { marker, to, counter: 2 } if *marker == left && *to == place),
            "{error}"
        );
    };
    names_the_place(refused(Provider::open(&machine.path("copy"), &passphrase())));
    let state = Status::read(&machine.path("copy")).unwrap().marker_state;
    assert_eq!(state, MarkerState::Moved { to: place.clone() });
}

/// Moves the marker of a provider's folder, by true words on its last height.
fn move_marker(folder: &Path, to: &Path, height: u64) -> Result<Provider, ProviderError> {
    Provider::recover(folder, &passphrase(), height, Some(to))
}

#[test]
fn a_copy_of_a_folder_whose_marker_moved_is_recovered_by_the_new_place_only() {
    let (machine, mut provider) = Machine::with_provider();
    provider.vote(block(1, 1)).unwrap();
    drop(provider);
    machine.back_up("copy");
    let copy = machine.path("copy");
    let [first, second, third, fourth] =
        ["markers", "second", "third", "fourth"].map(|name| machine.path(name));
    drop(move_marker(&machine.folder(), &second, 1).unwrap());
    drop(move_marker(&machine.folder(), &third, 1).unwrap());
    let mut provider = machine.open().unwrap();
    provider.vote(block(2, 1)).unwrap();
    // In the old place, where there is word of the new one, in a third, and in one that the marker has left, too.
    let place = machine.marker();
    for (asked, height) in [(None, 1), (Some(&first), 2), (Some(&second), 2), (Some(&fourth), 900)] {
        let error = refused(Provider::recover(&copy, &passphrase(), height, asked.map(PathBuf::as_path)));
        assert!(
            matches!(&error, ProviderError::MarkerMoved { to, .. } if *to == place),
            "{asked:?}: {error}"
        );
    }
    assert!(matches!(refused(move_marker(&copy, &third, 900)), ProviderError::Locked { .. }));
    drop(provider);
    assert!(matches!(
        refused(move_marker(&copy, &third, 1)),
        ProviderError::LastKnownHeight { recorded: 2, .. }
    ));
    let mut copied = move_marker(&copy, &third, 2).unwrap();
    assert!(matches!(refused(copied.vote(block(2, 2))), ProviderError::NotAbove { highest: 2, .. }));
    copied.vote(block(3, 2)).unwrap();
    drop(copied);
    // The two share the marker: the other one is the old backup now.
    assert!(matches!(refused(machine.open()), ProviderError::OldBackup { .. }));
}

#[test]
fn a_marker_goes_back_to_a_place_that_it_left() {
    let (machine, mut provider) = Machine::with_provider();
    provider.vote(block(1, 1)).unwrap();
    drop(provider);
    machine.back_up("copy");
    let (home, away) = (machine.path("markers"), machine.path("away"));
    drop(move_marker(&machine.folder(), &away, 1).unwrap());
    machine.back_up("copy away");
    let mut provider = move_marker(&machine.folder(), &home, 1).unwrap();
    provider.vote(block(2, 1)).unwrap();
    drop(provider);
    machine.open().unwrap();
    let copied = Provider::open(&machine.path("copy"), &passphrase());
    assert!(matches!(refused(copied), ProviderError::OldBackup { .. }));
    let copied = Provider::recover(&machine.path("copy away"), &passphrase(), 2, None);
    assert!(matches!(refused(copied), ProviderError::MarkerMoved { to, .. } if to == machine.marker()));
}

#[test]
fn keys_whose_marker_moved_are_not_restored_beside_it() {
    let machine = Machine::new();
    let origin = || Origin::Seed(SecretBytes::new([3; 32]), History::LastKnownHeight(900));
    drop(machine.init(origin()).unwrap());
    let elsewhere = machine.path("elsewhere");
    drop(move_marker(&machine.folder(), &elsewhere, 900).unwrap());
    let error = refused(machine.init_in("again", SERVICE, origin()));
    assert!(matches!(error, ProviderError::MarkerMoved { to, .. } if to.starts_with(&elsewhere)));
}

#[test]
fn a_marker_with_a_number_that_nothing_can_follow_is_damaged_and_no_panic() {
    let (machine, provider) = Machine::with_provider();
    drop(provider);
    let marker = machine.marker();
    let text = fs::read_to_string(&marker).unwrap();
    for number in [1_u64 << 62, 1 << 63, u64::MAX] {
        fs::write(&marker, text.replace("\"counter\":0", &format!("\"counter\":{number}"))).unwrap();
        let error = refused(machine.open());
        assert!(matches!(error, ProviderError::MarkerDamaged { .. }), "{number}: {error}");
        drop(machine.recover(5).unwrap());
        assert_eq!(Status::read(&machine.folder()).unwrap().marker_state, MarkerState::Agrees);
        fs::remove_file(&marker).unwrap();
    }
    // The greatest number there is: what would follow it is refused.
    let last = (1_u64 << 62) - 1;
    fs::write(&marker, text.replace("\"counter\":0", &format!("\"counter\":{last}"))).unwrap();
    let error = refused(machine.recover(5));
    assert!(matches!(error, ProviderError::NoNumberLeft { counter } if counter == last), "{error}");
    let seed = SecretBytes::new([3; 32]);
    drop(machine.init_in("other", SERVICE, Origin::Seed(seed.clone(), History::NeverVoted)).unwrap());
    let marker = Status::read(&machine.path("other")).unwrap().marker;
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, text.replace("\"counter\":0", &format!("\"counter\":{last}"))).unwrap();
    let made = machine.init_in("again", SERVICE, Origin::Seed(seed, History::LastKnownHeight(9)));
    assert!(matches!(refused(made), ProviderError::NoNumberLeft { .. }));
}

#[test]
fn a_service_whose_votes_no_file_takes_is_refused_before_there_is_a_provider() {
    for service in ["bbn-1", &"x".repeat(64)] {
        let machine = Machine::new();
        let mut provider = machine.init_in("provider", service, Origin::Fresh).unwrap();
        provider.commit(0, 1).unwrap();
        let vote = provider.vote(block(0, 1)).unwrap();
        assert_eq!(serde_json::from_str::<SignedVote>(&serde_json::to_string(&vote).unwrap()).unwrap(), vote);
    }
    for service in ["", " ", "a service", "a\n", "a\0b", "ä", &"x".repeat(65)] {
        let machine = Machine::new();
        let error = refused(machine.init_in("provider", service, Origin::Fresh));
        assert!(matches!(error, ProviderError::Service { .. }), "{service:?}: {error}");
        assert!(!machine.folder().exists());
    }
}

#[test]
fn a_provider_of_a_service_that_no_vote_file_takes_uses_no_height_up() {
    // As a version that took such names has left it: with such a name in record and marker.
    let (machine, provider) = Machine::with_provider();
    drop(provider);
    let marker = fs::read_to_string(machine.marker()).unwrap();
    sql_rename(&machine, "a service");
    fs::write(machine.marker(), marker.replace(SERVICE, "a service")).unwrap();
    let before = fs::read(machine.marker()).unwrap();
    let refused = match machine.open() {
        Ok(mut provider) => refused(provider.vote(block(5, 1))),
        Err(error) => error,
    };
    assert!(matches!(refused, ProviderError::Service { .. }), "{refused}");
    assert_eq!(fs::read(machine.marker()).unwrap(), before, "the height is free");
}

/// Gives the record another service.
fn sql_rename(machine: &Machine, service: &str) {
    let file = machine.folder().join("provider.db");
    let sql = rusqlite::Connection::open(file).unwrap();
    sql.execute("UPDATE provider SET service = ?1", [service]).unwrap();
}

#[test]
fn a_record_that_somebody_changed_is_refused() {
    let (machine, mut provider) = Machine::with_provider();
    for height in 1..=5 {
        provider.vote(block(height, 1)).unwrap();
    }
    drop(provider);
    machine.back_up("whole");
    let file = machine.folder().join("provider.db");
    let sql = |text: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(text);
    for change in [
        "UPDATE entry SET height = 9 WHERE counter = 3",
        "DELETE FROM entry WHERE counter = 3",
        "INSERT INTO entry SELECT 6, kind, height, x'0202020202020202020202020202020202020202020202020202020202020202', head FROM entry WHERE counter = 5",
    ] {
        assert!(sql(change).is_err(), "SQLite itself refuses: {change}");
    }
    for change in [
        "UPDATE entry SET block_hash = head WHERE counter = 3",
        "UPDATE entry SET height = 9 WHERE counter = 5",
        "DELETE FROM entry WHERE counter = 1",
        "DELETE FROM entry WHERE counter = 3",
        "UPDATE provider SET service = 'other-chain'",
        "UPDATE entry SET kind = 'floor', block_hash = NULL WHERE counter = 3",
    ] {
        sql(&format!("DROP TRIGGER entry_is_final; DROP TRIGGER entry_stays; {change};")).unwrap();
        let error = refused(machine.open());
        assert!(
            matches!(error, ProviderError::Damaged { .. } | ProviderError::OtherKey { .. }),
            "{change}: {error}"
        );
        machine.restore("whole");
    }
    // Without its last two votes it is an old backup.
    sql("DROP TRIGGER entry_stays; DELETE FROM entry WHERE counter > 3;").unwrap();
    assert!(matches!(
        refused(machine.open()),
        ProviderError::OldBackup { folder_counter: 3, marker_counter: 5, .. }
    ));
}

#[test]
fn a_record_that_is_cut_off_or_something_else_is_refused() {
    let (machine, mut provider) = Machine::with_provider();
    provider.vote(block(1, 1)).unwrap();
    drop(provider);
    let file = machine.folder().join("provider.db");
    let whole = fs::read(&file).unwrap();
    for length in (0..whole.len()).step_by(1000) {
        fs::write(&file, &whole[..length]).unwrap();
        let error = refused(machine.open());
        assert!(
            matches!(error, ProviderError::Damaged { .. } | ProviderError::Database { .. }),
            "{length}: {error}"
        );
    }
    fs::write(&file, vec![7; whole.len()]).unwrap();
    assert!(matches!(refused(machine.open()), ProviderError::Damaged { .. }));
    fs::remove_file(&file).unwrap();
    assert!(matches!(refused(machine.open()), ProviderError::NoProvider(_)));
}

#[test]
fn another_key_file_or_a_wrong_passphrase_opens_nothing() {
    let (machine, provider) = Machine::with_provider();
    drop(provider);
    let wrong = Provider::open(&machine.folder(), &Passphrase::new("wrong".into()).unwrap());
    assert!(refused(wrong).to_string().contains("wrong passphrase"));
    let other = machine.init_in("other", SERVICE, Origin::Fresh).unwrap();
    fs::copy(machine.path("other").join(KEY_FILE), machine.folder().join(KEY_FILE)).unwrap();
    let error = refused(machine.open());
    assert!(
        matches!(&error, ProviderError::OtherKey { found, .. } if **found == other.public_key()),
        "{error}"
    );
}

#[test]
fn keys_that_come_from_elsewhere_start_above_their_last_known_height() {
    let key = SecretKey::from_slice(&[9; 32]).unwrap();
    let secret = SecretBytes::new(key.secret_bytes());
    let machine = Machine::new();
    let mut provider = machine.init(Origin::Key(secret.clone(), History::LastKnownHeight(500))).unwrap();
    assert_eq!(provider.public_key(), key.x_only_public_key(&Secp256k1::new()).0);
    provider.commit(0, 1000).unwrap();
    assert!(matches!(refused(provider.vote(block(500, 1))), ProviderError::NotAbove { highest: 500, .. }));
    provider.vote(block(501, 1)).unwrap();
    drop(provider);

    // A second folder from the same key on the same machine: the marker knows.
    let again = |history| machine.init_in("again", SERVICE, Origin::Key(secret.clone(), history));
    for (history, stated) in [(History::NeverVoted, None), (History::LastKnownHeight(500), Some(500))] {
        let error = refused(again(history));
        assert!(
            matches!(error, ProviderError::LastKnownHeight { stated: same, recorded: 501 } if same == stated),
            "{error}"
        );
        assert!(!machine.path("again").exists());
    }
    drop(again(History::LastKnownHeight(501)).unwrap());
    assert!(matches!(refused(machine.open()), ProviderError::OldBackup { .. }));

    let other_service =
        machine.init_in("third", "other-chain", Origin::Key(secret, History::LastKnownHeight(900)));
    assert!(
        matches!(refused(other_service), ProviderError::OtherMarker { service, .. } if service == SERVICE)
    );
}

#[test]
fn a_folder_that_is_there_is_not_made_anew() {
    let (machine, provider) = Machine::with_provider();
    drop(provider);
    assert!(matches!(refused(machine.init(Origin::Fresh)), ProviderError::Exists(_)));
    machine.open().unwrap();
    let names: Vec<_> =
        fs::read_dir(machine.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "provider and markers, no draft: {names:?}");
}

#[cfg(unix)]
#[test]
fn a_marker_that_cannot_be_written_means_no_vote_and_no_harm() {
    let (machine, mut provider) = Machine::with_provider();
    let markers = machine.path("markers");
    let aside = machine.path("aside");
    let before = provider.vote(block(1, 1)).unwrap();
    fs::rename(&markers, &aside).unwrap();
    assert!(matches!(refused(provider.vote(block(2, 1))), ProviderError::MarkerMissing(_)));
    fs::rename(&aside, &markers).unwrap();
    // What was refused has not bound the height.
    provider.vote(block(2, 2)).unwrap();
    assert_eq!(provider.vote(block(1, 1)).unwrap(), before);
}

#[derive(Debug, Clone)]
enum Step {
    Vote(u64, u8),
    Commit(u64),
    Reopen,
    BackUp(u8),
    Restore(u8),
    /// States the greatest height that was ever signed, plus this.
    Recover(u64),
    LoseMarker,
    RollMarkerBack(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u64..40, 1u8..3).prop_map(|(height, fork)| Step::Vote(height, fork)),
        1 => (0u64..40).prop_map(Step::Commit),
        2 => Just(Step::Reopen),
        1 => (0u8..3).prop_map(Step::BackUp),
        1 => (0u8..3).prop_map(Step::Restore),
        2 => (0u64..3).prop_map(Step::Recover),
        1 => Just(Step::LoseMarker),
        1 => (0u8..3).prop_map(Step::RollMarkerBack),
    ]
}

/// Every signature that left, by height.
#[derive(Default)]
struct Seen(BTreeMap<u64, SignedVote>);

impl Seen {
    fn add(&mut self, signed: &SignedVote) {
        let height = signed.vote.height;
        let first = &*self.0.entry(height).or_insert_with(|| signed.clone());
        assert_eq!(first, signed, "two signatures for height {height}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_order_of_votes_restarts_restores_and_honest_recoveries_signs_a_height_twice(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let (machine, provider) = Machine::with_provider();
        let mut provider = Some(provider);
        let mut seen = Seen::default();
        let marker = machine.marker();
        let mut backups = BTreeMap::new();
        // A marker and a folder that both go back to the same past cannot be told from the truth: this one thing the
        // machine's owner must not do without stating a height.
        let mut marker_is_old = false;
        for step in steps {
            match step {
                Step::Vote(height, fork) => {
                    if provider.is_none() {
                        provider = machine.open().ok();
                    }
                    if let Some(Ok(signed)) = provider.as_mut().map(|open| open.vote(block(height, fork))) {
                        seen.add(&signed);
                    }
                }
                Step::Commit(start) => {
                    if let Some(open) = &mut provider {
                        let _ = open.commit(start, 10);
                    }
                }
                Step::Reopen => {
                    drop(provider.take());
                    provider = machine.open().ok();
                }
                Step::BackUp(name) => {
                    drop(provider.take());
                    let target = machine.path(&format!("backup-{name}"));
                    let _ = fs::remove_dir_all(&target);
                    copy(&machine.folder(), &target);
                    backups.insert(name, fs::read(&marker).ok());
                }
                Step::Restore(name) => {
                    if backups.contains_key(&name) && !marker_is_old {
                        drop(provider.take());
                        machine.restore(&format!("backup-{name}"));
                    }
                }
                Step::Recover(more) => {
                    drop(provider.take());
                    let highest = seen.0.keys().last().copied().unwrap_or(0);
                    provider = machine.recover(highest + more).ok();
                    marker_is_old &= provider.is_none();
                }
                Step::LoseMarker => {
                    let _ = fs::remove_file(&marker);
                }
                Step::RollMarkerBack(name) => {
                    let current = Status::read(&machine.folder()).unwrap().marker_state;
                    if let (MarkerState::Agrees, Some(Some(old))) = (current, backups.get(&name)) {
                        fs::write(&marker, old).unwrap();
                        marker_is_old = true;
                    }
                }
            }
        }
    }
}
