//! What the manifests guarantee: pure crates have no I/O, and Pingora and the
//! simulator are used only where they belong.

use std::{collections::BTreeSet, process::Command};

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

#[test]
fn pure_crates_link_nothing_that_does_io() {
    for package in [
        "gatepost-base",
        "gatepost-odoo",
        "gatepost-policy",
        "gatepost-mcp",
    ] {
        let linked = linked(package, &[]);
        for io in [
            "tokio", "hyper", "reqwest", "redis", "redb", "rustls", "tempfile",
        ] {
            assert!(!linked.contains(io), "{package} links {io}");
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
