//! Tests that the configurations in the documents and for containers load.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::reference::load_text;
use crate::config::ValidConfig;

const GUIDE: &str = include_str!("../../../docs/identity-providers.md");
const README: &str = include_str!("../../../README.md");
const REFERENCE: &str = include_str!("../../../docs/configuration.md");

/// The first line of a block that is a whole configuration.
const WHOLE: &str = "# gatepost.toml";

/// The blocks of TOML in a document.
fn blocks(document: &str) -> impl Iterator<Item = &str> {
    let blocks = document.split("```toml\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next())
}

/// The whole configurations in a document.
fn snippets(document: &str) -> Vec<&str> {
    blocks(document)
        .filter(|text| text.starts_with(WHOLE))
        .collect()
}

/// Loads a configuration with secrets in `/run/secrets` and files in
/// `/var/lib/gatepost`, both replaced by the folder that is returned.
fn load_with_secrets(text: &str) -> (ValidConfig, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let put = |name: &str, text: &str| {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let odoo = [
        "odoo_production_key",
        "odoo_production_sales_key",
        "odoo_staging_key",
    ];
    for name in odoo.into_iter().chain(["oidc_client_secret"]) {
        put(name, "a-secret");
    }
    // As Zitadel writes it for an application of the type API.
    let pem = include_str!("../../../tests/fixtures/identity/rsa_pkcs1.pem");
    let key = serde_json::json!({
        "type": "application", "keyId": "1", "key": pem, "appId": "2", "clientId": "3"
    });
    for name in ["zitadel_production_key.json", "zitadel_staging_key.json"] {
        put(name, &key.to_string());
    }
    let here = folder.path().to_str().unwrap();
    let text = text.replace("/run/secrets", here);
    let text = text.replace("/var/lib/gatepost", here);
    (load_text(&text, &[]), folder)
}

#[test]
fn documented_configurations_load_and_build() {
    for (document, least) in [(GUIDE, 6), (README, 1), (REFERENCE, 1)] {
        let snippets = snippets(document);
        assert!(snippets.len() >= least, "{snippets:?}");
        for text in snippets {
            let (checked, _folder) = load_with_secrets(text);
            // Keys are created after the configuration.
            let keyless = |warning: &str| warning.contains("`gatepost key new");
            let warnings: Vec<String> = checked
                .warnings
                .iter()
                .map(ToString::to_string)
                .filter(|warning| !(text.contains("[keys]") && keyless(warning)))
                .collect();
            assert!(warnings.is_empty(), "{text}{warnings:?}");
            assert!(checked.build().is_ok(), "{text}");
        }
    }
}

#[test]
fn guide_has_a_configuration_for_each_provider_kind() {
    for kind in ["auth0", "authentik", "entra", "keycloak", "zitadel"] {
        let line = format!("\nkind = \"{kind}\"\n");
        let shown = snippets(GUIDE).iter().any(|text| text.contains(&line));
        assert!(shown, "`{kind}`");
    }
}

#[test]
fn readme_snippets_form_one_valid_configuration() {
    let text: String = blocks(README)
        .filter(|text| !text.starts_with(WHOLE))
        .collect();
    assert!(text.contains("[providers.zitadel]"), "{text}");
    let (checked, _folder) = load_with_secrets(&text);
    assert!(checked.build().is_ok());
}

#[test]
fn compose_configurations_load_and_build() {
    let mut files: Vec<PathBuf> = fs::read_dir("compose")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    let names = ["compose/gatepost-zitadel.toml", "compose/gatepost.toml"];
    assert_eq!(files, names.map(Path::new));
    for file in files {
        let (checked, _folder) = load_with_secrets(&fs::read_to_string(&file).unwrap());
        assert!(checked.config.changes.file.is_some(), "{}", file.display());
        assert!(checked.build().is_ok(), "{}", file.display());
    }
}
