//! What must fit between keys, and with the files that they name.

mod secret;
mod web_address;

use std::{collections::BTreeMap, fs::File, path::Path};

use web_address::WebAddress;

use super::{
    Config, Instance, Rule,
    file::Part,
    layers::Layers,
    mistake::{Mistake, Place, dotted},
};
use crate::{
    identity::Keyring,
    names::{InstanceName, RoleName},
    odoo::ModelName,
    policy::Pattern,
    upstream::ApiKey,
};

/// What was found, and what the named files held.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
    pub(super) secrets: BTreeMap<InstanceName, ApiKey>,
    pub(super) keyring: Option<Keyring>,
}

/// Looks at everything that one key alone cannot show.
pub(super) fn check(config: &Config, layers: &Layers) -> Findings {
    let mut check = Check {
        config,
        layers,
        found: Findings {
            mistakes: Vec::new(),
            warnings: Vec::new(),
            secrets: BTreeMap::new(),
            keyring: None,
        },
    };
    check.listeners();
    check.origins();
    check.instances();
    check.public_urls();
    check.roles();
    check.keys();
    check.somebody_gets_in();
    check.found
}

struct Check<'a> {
    config: &'a Config,
    layers: &'a Layers,
    found: Findings,
}

/// What a key path is written in: some of its steps are numbers or names.
macro_rules! path {
    ($($step:expr),+) => {
        &[$($step.to_string()),+]
    };
}

impl Check<'_> {
    fn listeners(&mut self) {
        let server = &self.config.server;
        if server.listen.is_empty() {
            self.wrong(
                path!["server", "listen"],
                "there must be an address to listen on",
                Some("such as `[\"127.0.0.1:8080\"]`"),
            );
        }
        for (index, address) in server.listen.iter().enumerate() {
            let path = path!["server", "listen", index];
            if server
                .listen
                .iter()
                .take(index)
                .any(|other| other == address)
            {
                self.wrong(path, &format!("`{address}` stands here twice"), None);
            }
            // Port 0 is a free port each time.
            if self.config.admin.listen == Some(*address) && address.port() != 0 {
                self.wrong(
                    path,
                    &format!("`{address}` is the address of the admin listener too"),
                    Some("give `admin.listen` a port of its own"),
                );
            }
        }
        if let Some(tls) = &server.tls {
            self.readable(
                path!["server", "tls", "certificate_file"],
                &tls.certificate_file,
            );
            self.readable(path!["server", "tls", "key_file"], &tls.key_file);
            if secret::is_open_to_others(&tls.key_file) {
                self.doubtful(
                    path!["server", "tls", "key_file"],
                    "others than its owner can read the private key",
                    Some("chmod 600"),
                );
            }
        }
        if let Some(role) = &server.anonymous_role {
            let path = path!["server", "anonymous_role"];
            self.role_exists(path, role);
            if let Some(open) = server
                .listen
                .iter()
                .find(|address| !address.ip().is_loopback())
            {
                self.wrong(
                    path,
                    &format!("callers without proof are allowed only on loopback, and `{open}` is reached from outside"),
                    Some("remove `anonymous_role` and make keys with `gatepost key new`, or listen on 127.0.0.1"),
                );
            } else {
                self.doubtful(
                    path,
                    &format!(
                        "everybody on this machine gets in without proof, with the role `{role}`"
                    ),
                    None,
                );
            }
        }
    }

    fn origins(&mut self) {
        for (index, origin) in self.config.server.allowed_origins.iter().enumerate() {
            let path = path!["server", "allowed_origins", index];
            match WebAddress::parse(origin) {
                Ok(address) if address.path == "/" && !origin.ends_with('/') => {}
                Ok(_) | Err(_) => self.wrong(
                    path,
                    "this is not a web origin",
                    Some("write scheme, host and port if any, such as `https://inspector.example`, without a `/` at the end"),
                ),
            }
        }
    }

    fn instances(&mut self) {
        let config = self.config;
        if config.instances.is_empty() {
            self.found.mistakes.push(Mistake {
                place: self.layers.whole(),
                key: "instances".to_owned(),
                message: "no Odoo instance is configured".to_owned(),
                hint: Some(
                    "add `[instances.NAME]` with `url`, `database` and `api_key_file`, or set ODOO_URL, ODOO_DB and ODOO_API_KEY".to_owned(),
                ),
            });
        }
        for (name, instance) in &config.instances {
            self.urls(name, instance);
            self.secret(name, instance);
            if let Some(database) = &instance.database
                && (database.is_empty() || !database.bytes().all(|byte| byte.is_ascii_graphic()))
            {
                self.wrong(
                    path!["instances", name, "database"],
                    "a database name is one word of ASCII letters, digits and signs",
                    None,
                );
            }
            if let Some(file) = &instance.ca_file {
                self.readable(path!["instances", name, "ca_file"], file);
            }
            if instance.connect_timeout_ms > instance.timeout_ms {
                self.doubtful(
                    path!["instances", name, "connect_timeout_ms"],
                    "this is longer than `timeout_ms`, which ends the call first",
                    None,
                );
            }
        }
    }

    fn urls(&mut self, name: &InstanceName, instance: &Instance) {
        let path = path!["instances", name, "url"];
        match WebAddress::parse(&instance.url) {
            Ok(url) => {
                let first = url.path.split('/').nth(1).unwrap_or_default();
                if matches!(first, "json" | "jsonrpc" | "odoo" | "web" | "xmlrpc") {
                    self.wrong(
                        path,
                        &format!("this is a page of Odoo, and the server itself is needed: cut `/{first}` and all behind it"),
                        None,
                    );
                }
                if !url.secure && !url.is_inside() {
                    self.doubtful(
                        path,
                        "the API key and all data go over the network unencrypted",
                        Some("use `https://`"),
                    );
                }
                if !url.secure && instance.ca_file.is_some() {
                    self.doubtful(
                        path!["instances", name, "ca_file"],
                        "this has no use with an `http://` URL",
                        None,
                    );
                }
            }
            Err((message, hint)) => self.wrong(path, message, Some(hint)),
        }
        if let Some(web) = &instance.web_url
            && let Err((message, hint)) = WebAddress::parse(web)
        {
            self.wrong(path!["instances", name, "web_url"], message, Some(hint));
        }
    }

    fn secret(&mut self, name: &InstanceName, instance: &Instance) {
        let (here, in_file) = (
            path!["instances", name, "api_key"],
            path!["instances", name, "api_key_file"],
        );
        let key = match (&instance.api_key, &instance.api_key_file) {
            (None, None) => {
                let variable = match self.config.instances.len() {
                    1 => "ODOO_API_KEY".to_owned(),
                    _ => format!(
                        "GATEPOST_INSTANCES__{}__API_KEY",
                        name.as_str().to_ascii_uppercase().replace('-', "_")
                    ),
                };
                self.wrong(
                    here,
                    "the API key of an Odoo user is missing",
                    Some(&format!(
                        "set `api_key_file` to a file that holds it, or {variable}"
                    )),
                );
                return;
            }
            (Some(_), Some(_)) => {
                self.wrong(
                    in_file,
                    "`api_key` and `api_key_file` are both set",
                    Some("keep one of them, better the file"),
                );
                return;
            }
            (Some(key), None) => secret::fits(key)
                .map(str::to_owned)
                .map_err(|message| (here, format!("`api_key` {message}"))),
            (None, Some(file)) => {
                if secret::is_open_to_others(file) {
                    self.doubtful(
                        in_file,
                        "others than its owner can read the file with the API key",
                        Some("chmod 600"),
                    );
                }
                secret::read(file).map_err(|message| (in_file, message))
            }
        };
        match key {
            Ok(key) => {
                self.found.secrets.insert(name.clone(), ApiKey::new(&key));
            }
            Err((path, message)) => self.wrong(path, &message, None),
        }
    }

    /// Each public URL leads to one instance, in whatever way it is spelled.
    fn public_urls(&mut self) {
        let config = self.config;
        let mut claims: BTreeMap<(String, u16, String), &InstanceName> = BTreeMap::new();
        for (name, instance) in &config.instances {
            for (index, text) in instance.public_urls.iter().enumerate() {
                let path = path!["instances", name, "public_urls", index];
                let url = match WebAddress::parse(text) {
                    Ok(url) => url,
                    Err((message, hint)) => {
                        self.wrong(path, message, Some(hint));
                        continue;
                    }
                };
                if !url.secure && !url.is_loopback() {
                    self.wrong(
                        path,
                        "a public URL must be `https://`: tokens are sent to it",
                        Some("`http://` is allowed for loopback addresses only"),
                    );
                }
                if let Err(message) = routable(&url.path) {
                    self.wrong(
                        path,
                        message,
                        Some(&format!("such as `https://mcp.example.com/{name}/mcp`")),
                    );
                }
                let claimed_path = url.claimed_path();
                let default_of = config
                    .instances
                    .keys()
                    .find(|other| *other != name && claimed_path == format!("/{other}/mcp"));
                if let Some(other) = default_of {
                    self.wrong(
                        path,
                        &format!("the path `{claimed_path}` leads to the instance `{other}`"),
                        None,
                    );
                    continue;
                }
                match claims.insert(url.claim(), name) {
                    Some(other) if other == name => {
                        self.doubtful(path, "this URL stands here twice", None);
                    }
                    Some(other) => self.wrong(
                        path,
                        &format!("the instance `{other}` has this URL already"),
                        Some(
                            "give each instance URLs of its own; upper and lower case are the same",
                        ),
                    ),
                    None => {}
                }
            }
        }
    }

    fn roles(&mut self) {
        let config = self.config;
        for (name, role) in &config.roles {
            if role.rules.is_empty() {
                self.doubtful(
                    path!["roles", name],
                    "this role has no rules, so it opens nothing",
                    Some(&format!("add `[[roles.{name}.rules]]` with `models`")),
                );
            }
            for (index, rule) in role.rules.iter().enumerate() {
                self.rule(name, index, rule);
            }
        }
    }

    fn rule(&mut self, role: &RoleName, index: usize, rule: &Rule) {
        let config = self.config;
        let empty = [
            ("instances", rule.instances.is_empty()),
            ("models", rule.models.is_empty()),
            ("operations", rule.operations.is_empty()),
        ];
        for (key, _) in empty.iter().filter(|(_, empty)| *empty) {
            self.doubtful(
                path!["roles", role, "rules", index, key],
                "the list is empty, so this rule opens nothing",
                None,
            );
        }
        for (at, pattern) in rule.instances.iter().enumerate() {
            let path = path!["roles", role, "rules", index, "instances", at];
            if config
                .instances
                .keys()
                .any(|name| pattern.matches(name.as_str()))
            {
                continue;
            }
            if is_open(pattern) {
                self.doubtful(
                    path,
                    &format!("no instance is called like `{pattern}`"),
                    None,
                );
            } else {
                let near = nearest(
                    &pattern.to_string(),
                    config.instances.keys().map(InstanceName::as_str),
                );
                self.wrong(
                    path,
                    &format!("there is no instance `{pattern}`"),
                    near.as_deref(),
                );
            }
        }
        for (at, pattern) in rule.models.iter().enumerate() {
            if !is_open(pattern)
                && let Err(error) = ModelName::try_from(pattern.to_string().as_str())
            {
                let path = path!["roles", role, "rules", index, "models", at];
                self.wrong(path, &error.to_string(), None);
            }
        }
    }

    fn keys(&mut self) {
        let config = self.config;
        let path = path!["keys", "file"];
        let Some(file) = &config.keys.file else {
            return;
        };
        if secret::others_may_write(file) {
            self.doubtful(
                path,
                "others than its owner can write the keys file, and so give themselves keys",
                Some("chmod 600"),
            );
        }
        match Keyring::load(file) {
            Ok(keyring) => {
                for (id, key) in keyring.iter() {
                    for role in key
                        .roles
                        .iter()
                        .filter(|role| !config.roles.contains_key(*role))
                    {
                        self.doubtful(
                            path,
                            &format!("the key `{id}` has the role `{role}`, which is not configured and opens nothing"),
                            None,
                        );
                    }
                }
                self.found.keyring = Some(keyring);
            }
            Err(error) if error.is_missing() => {
                let message = format!("{} does not exist yet", file.display());
                self.doubtful(path, &message, Some("`gatepost key new` makes it"));
            }
            Err(error) => self.wrong(path, &error.to_string(), None),
        }
    }

    /// Default deny has a price: a gateway that refuses everybody looks broken.
    fn somebody_gets_in(&mut self) {
        let keyed = self
            .found
            .keyring
            .as_ref()
            .is_some_and(|keys| keys.iter().any(|(_, key)| key.revoked.is_none()));
        if !keyed && self.config.server.anonymous_role.is_none() {
            self.found.warnings.push(Mistake {
                place: self.layers.whole(),
                key: String::new(),
                message: "NOBODY CAN GET IN: there is no API key and no other way to prove who one is".to_owned(),
                hint: Some(match self.config.keys.file {
                    Some(_) => "make a key: `gatepost key new --role ROLE --name NAME`".to_owned(),
                    None => "set `keys.file` (GATEPOST_KEYS__FILE), configure a role, and make a key: `gatepost key new --role ROLE --name NAME`".to_owned(),
                }),
            });
        }
    }

    fn role_exists(&mut self, path: &[String], role: &RoleName) {
        if !self.config.roles.contains_key(role) {
            let near = nearest(
                role.as_str(),
                self.config.roles.keys().map(RoleName::as_str),
            );
            self.wrong(path, &format!("there is no role `{role}`"), near.as_deref());
        }
    }

    fn readable(&mut self, path: &[String], file: &Path) {
        if let Err(error) = File::open(file) {
            self.wrong(
                path,
                &format!("{} cannot be read: {error}", file.display()),
                None,
            );
        }
    }

    fn wrong(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let mistake = self.finding(path, message, hint);
        self.found.mistakes.push(mistake);
    }

    fn doubtful(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let warning = self.finding(path, message, hint);
        self.found.warnings.push(warning);
    }

    fn finding(&self, path: &[String], message: &str, hint: Option<&str>) -> Mistake {
        let place: Place = self.layers.place(path, Part::Value);
        Mistake {
            place,
            key: dotted(path),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        }
    }
}

/// Whether a path can be routed: it names something, in one spelling only.
fn routable(path: &str) -> Result<(), &'static str> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    if trimmed.is_empty() {
        return Err("a public URL must have a path");
    }
    if trimmed.contains('%')
        || trimmed
            .split('/')
            .skip(1)
            .any(|part| matches!(part, "" | "." | ".."))
    {
        return Err("the path must have no `%`, no empty parts and no `.` or `..`");
    }
    if trimmed.to_ascii_lowercase().starts_with("/.well-known") {
        return Err("paths below `/.well-known` have uses of their own");
    }
    Ok(())
}

fn is_open(pattern: &Pattern) -> bool {
    pattern.to_string().ends_with('*')
}

/// "did you mean ..?", or which names there are.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let near = names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match near {
        Some((_, name)) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => Some(format!("there are `{}`", names.join("`, `"))),
    }
}
