//! The seeds of the fuzz targets, for the tests of the properties.

use std::fs;

/// Texts as servers and people may send them, for proptest: often with control characters, which
/// `any::<String>()` never has.
pub(crate) const TEXT: &str = "[\\x00-\\xa0]{0,60}|\\PC*";

/// Checks the property of a fuzz target with each of its seeds, `fuzz/seeds`.
pub(crate) fn each_seed(target: &str, property: fn(&[u8])) {
    let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut seeds = 0;
    for seed in fs::read_dir(folder).expect("a folder") {
        let path = seed.expect("an entry").path();
        // The panic of a property says with what, not with which seed.
        println!("{}", path.display());
        property(&fs::read(path).expect("a file"));
        seeds += 1;
    }
    assert!(seeds > 0, "{target} has no seeds");
}
