#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::sync::Barrier;
use std::thread;

use super::*;

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_made_once_and_replaced_whole_without_leftovers() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a").join("b").join("file");
    create_folders(folder_of(&path)).unwrap();
    create(&path, b"first").unwrap();
    assert_eq!(create(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"first");
    replace(&path, b"third").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"third");
    let new = path.with_file_name("new");
    replace(&new, b"").unwrap();
    assert_eq!(fs::read(&new).unwrap(), b"");
    assert_eq!(names(folder_of(&path)), ["file", "new"]);
}

#[test]
fn nothing_that_has_a_name_loses_it_to_a_new_file() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("empty"), b"").unwrap();
    let mut there = vec!["empty", "folder"];
    #[cfg(unix)]
    {
        // A link to nothing: what follows it would make a file elsewhere.
        std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
        there.push("link");
    }
    for name in &there {
        let claimed = claim(Draft::with(&at(name), b"mine").unwrap().file, &at(name));
        for refused in [create(&at(name), b"mine"), claimed] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists, "{name}");
        }
    }
    assert!(at("folder").is_dir());
    assert_eq!(fs::read(at("empty")).unwrap(), b"");
    assert_eq!(names(home.path()), there);
}

#[cfg(unix)]
#[test]
fn a_link_is_replaced_itself_and_not_what_it_leads_to() {
    let home = tempfile::tempdir().unwrap();
    let [link, other] = ["link", "other"].map(|name| home.path().join(name));
    fs::write(&other, b"another's").unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    replace(&link, b"mine").unwrap();
    assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&other).unwrap(), b"another's");
    assert_eq!(fs::read(&link).unwrap(), b"mine");
}

#[test]
fn of_many_who_make_a_file_at_once_one_does_and_it_stays_the_first_ones() {
    const MAKERS: usize = 8;
    let home = tempfile::tempdir().unwrap();
    let ways: [fn(Draft) -> io::Result<()>; 2] = [Draft::create, |draft| claim(draft.file, &draft.target)];
    for (way, make) in ways.into_iter().enumerate() {
        for round in 0..50 {
            let path = home.path().join(format!("{way}-{round}"));
            let start = Barrier::new(MAKERS);
            let made: Vec<bool> = thread::scope(|scope| {
                let makers: Vec<_> = (0..MAKERS)
                    .map(|maker| {
                        let (start, path) = (&start, &path);
                        scope.spawn(move || {
                            let draft = Draft::with(path, maker.to_string().as_bytes()).unwrap();
                            start.wait();
                            make(draft)
                                .map_err(|error| assert_eq!(error.kind(), ErrorKind::AlreadyExists))
                                .is_ok()
                        })
                    })
                    .collect();
                makers.into_iter().map(|maker| maker.join().unwrap()).collect()
            });
            let first = made.iter().position(|made| *made).unwrap();
            assert_eq!(made.iter().filter(|made| **made).count(), 1);
            assert_eq!(fs::read_to_string(&path).unwrap(), first.to_string());
        }
    }
    assert_eq!(names(home.path()).len(), 2 * 50, "no draft is left");
}

#[test]
fn a_draft_that_is_filled_by_its_path_gets_its_name_and_a_dropped_one_goes() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    let draft = Draft::of(&path).unwrap();
    fs::write(draft.path(), b"by its path").unwrap();
    assert!(!path.exists());
    draft.create().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"by its path");
    drop(Draft::with(&path, b"half").unwrap());
    assert_eq!(names(home.path()), ["file"]);
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("x"), b"").unwrap();
    assert!(replace(&folder, b"a file").is_err(), "a folder is in its place");
    for write in [create, replace] {
        let nowhere = home.path().join("no").join("file");
        let error = write(&nowhere, b"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.raw_os_error().is_some(), "the disk's own, without the name of a draft: {error}");
    }
    assert!(create_folders(&folder.join("x").join("y")).is_err(), "below a file");
    assert_eq!((names(home.path()), names(&folder)), (vec!["folder".to_owned()], vec!["x".to_owned()]));
}

#[test]
fn what_killed_processes_left_goes_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let [path, other] = ["file", "other"].map(|name| home.path().join(name));
    replace(&path, b"x").unwrap();
    for path in [&path, &path, &other] {
        Draft::with(path, b"half").unwrap().file.keep().unwrap();
    }
    assert_eq!(names(home.path()).len(), 4);
    clear_drafts(&path).unwrap();
    let left = names(home.path());
    assert!(left[0].starts_with(".other.") && left[1..] == ["file"], "{left:?}");
}

#[cfg(unix)]
#[test]
fn files_and_new_folders_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let above = home.path().join("above");
    let at = |name: &str| above.join("folder").join(name);
    create_folders(&above.join("folder")).unwrap();
    create(&at("created"), b"x").unwrap();
    private_file(&at("empty")).unwrap();
    claim(Draft::with(&at("claimed"), b"x").unwrap().file, &at("claimed")).unwrap();
    // What was open to others is closed by what takes its place.
    fs::write(at("replaced"), b"x").unwrap();
    fs::set_permissions(at("replaced"), fs::Permissions::from_mode(0o644)).unwrap();
    replace(&at("replaced"), b"x").unwrap();
    for folder in [&above, &above.join("folder")] {
        assert_eq!(mode(folder), 0o700);
    }
    for file in ["created", "empty", "claimed", "replaced"] {
        assert_eq!(mode(&at(file)), 0o600, "{file}");
    }
}

#[test]
fn a_folder_that_is_there_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let before = fs::metadata(home.path()).unwrap().permissions();
    for folder in [home.path(), Path::new(""), Path::new(".")] {
        create_folders(folder).unwrap();
    }
    assert_eq!(fs::metadata(home.path()).unwrap().permissions(), before);
}

#[test]
fn a_mere_name_lies_in_the_folder_one_is_in() {
    assert_eq!([folder_of(Path::new("x")), folder_of(Path::new("a/x"))], [Path::new("."), Path::new("a")]);
}
