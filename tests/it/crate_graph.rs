//! What the manifests guarantee: pure crates have no I/O, and Pingora and the
//! simulator are used only where they belong.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::architecture::files;

/// The packages that a workspace package links, including itself.
fn linked(package: &str, features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--package", package])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// The folders of the crates without I/O: no files, no network, no runtime.
const PURE_CRATES: [&str; 4] = ["base", "mcp", "odoo", "policy"];

#[test]
fn pure_crates_link_nothing_that_does_io() {
    for name in PURE_CRATES {
        for linked in linked(&format!("gatepost-{name}"), &[]) {
            let local = linked.strip_prefix("gatepost-");
            let pure = local.is_none_or(|local| PURE_CRATES.contains(&local))
                && !linked.starts_with("pingora")
                && ![
                    "hyper", "redb", "redis", "reqwest", "rustls", "tempfile", "tokio",
                ]
                .contains(&&*linked);
            assert!(pure, "{name} links {linked}");
        }
    }
}

#[test]
fn pure_crates_use_no_io_of_the_standard_library() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    for file in PURE_CRATES
        .iter()
        .flat_map(|name| files(&crates.join(name).join("src")))
    {
        let text = fs::read_to_string(&file).unwrap();
        for io in [
            "std::env",
            "std::fs",
            "std::process",
            "std::thread",
            "net::Tcp",
        ] {
            assert!(!text.contains(io), "{} uses {io}", file.display());
        }
    }
}

#[test]
fn only_root_package_links_pingora() {
    for package in [
        "gatepost-identity",
        "gatepost-state",
        "gatepost-odoo-client",
        "odoo-sim",
    ] {
        let linked = linked(package, &[]);
        assert!(
            !linked.iter().any(|name| name.starts_with("pingora")),
            "{package}"
        );
    }
}

#[test]
fn simulator_is_linked_only_with_demo_feature() {
    assert!(linked("gatepost", &[]).contains("odoo-sim"));
    assert!(!linked("gatepost", &["--no-default-features"]).contains("odoo-sim"));
}

#[test]
fn simulator_imports_no_crate_of_the_product() {
    let linked = linked("odoo-sim", &[]);
    assert!(
        !linked.iter().any(|name| name.starts_with("gatepost")),
        "{linked:?}"
    );
}
