//! Replays the corpus of each target, and mutations of it.

mod mutator;

use std::{
    fs, panic,
    path::Path,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use super::{TARGETS, Target};
use mutator::Mutator;

/// The panics of all threads and tasks, also those that a runtime catches.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Replays the corpus of this target, and this number of mutations.
fn replay(name: &str, mutations: usize) {
    static COUNT_PANICS: Once = Once::new();
    COUNT_PANICS.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, SeqCst);
            print(panic);
        }));
    });
    let target = TARGETS.into_iter().find(|target| target.name == name);
    let target = target.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let files = fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for seed in &seeds {
        run(target, seed);
    }
    let mut mutator = Mutator::new(seeds);
    for _ in 0..mutations {
        run(target, &mutator.next_input());
    }
}

/// Runs an input, and prints it if it fails.
fn run(target: Target, input: &[u8]) {
    let outcome = panic::catch_unwind(|| (target.run)(input));
    assert!(
        outcome.is_ok() && PANICS.load(SeqCst) == 0,
        "`{}` failed: {}",
        target.name,
        input.escape_ascii()
    );
}

macro_rules! replay {
    ($($name:ident: $mutations:literal)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name), $mutations);
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

// As many as a test build runs in one to three seconds of CPU time.
replay! {
    configuration: 100
    domain: 50_000
    odoo_answer: 300
    policy: 5_000
    request: 700
    token: 600
    values: 50_000
}
