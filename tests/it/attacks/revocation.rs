//! Tokens that are taken back, and answers that are kept: T-10.
//!
//! `write_max_age_s` is for tools that change something; there are none yet.

use serde_json::json;

use super::{FRESH, Scene, Words, configuration};
use crate::idp::{Endpoint, until};

// T-10
#[test]
fn a_token_that_was_taken_back_before_its_first_call_is_refused() {
    let scene = Scene::open();
    let token = scene.token();
    scene.idp.revokes(&token);
    scene.refused(&token);
}

// T-10
#[test]
fn where_no_answer_is_kept_a_token_that_is_taken_back_is_refused_at_once() {
    let scene = Scene::provider(FRESH);
    let token = scene.token();
    scene.served(&token);
    scene.served(&token);
    assert_eq!(scene.idp.count(Endpoint::Introspection), 2);
    scene.idp.revokes(&token);
    scene.refused(&token);
}

// T-10
#[test]
fn an_answer_is_kept_for_its_time_and_a_token_that_is_taken_back_lives_no_longer() {
    let scene = Scene::provider("cache_ttl_s = 1");
    let token = scene.token();
    scene.served(&token);
    scene.idp.revokes(&token);
    until(&scene.idp, "the end of what was kept", || {
        scene.call(&token).status == 401
    });
    scene.refused(&token);
}

// T-10
#[test]
fn within_that_time_nobody_is_asked_again() {
    let scene = Scene::open();
    let token = scene.token();
    for _ in 0..20 {
        scene.served(&token);
    }
    assert_eq!(scene.idp.count(Endpoint::Introspection), 1);
    scene.idp.revokes(&token);
    scene.served(&token);
    // Reading the configuration again forgets what was kept.
    scene
        .stage
        .reload(&configuration(&scene.idp, Words::default()));
    scene.refused(&token);
}

// T-10
#[test]
fn what_is_kept_does_not_outlive_the_token() {
    let scene = Scene::provider("cache_ttl_s = 300\nclock_skew_s = 0");
    let end = jiff::Timestamp::now().as_second() + 2;
    let token = scene.token_with(&json!({"exp": end}));
    scene.served(&token);
    until(&scene.idp, "the token's end", || {
        scene.call(&token).status == 401
    });
    assert!(jiff::Timestamp::now().as_second() >= end);
}

#[test]
fn a_no_is_kept_for_a_moment_and_no_longer() {
    let scene = Scene::open();
    let token = scene.token();
    scene.idp.revokes(&token);
    scene.refused(&token);
    scene.refused(&token);
    assert_eq!(scene.idp.count(Endpoint::Introspection), 1);
    let scene = Scene::provider("negative_ttl_s = 0");
    let token = scene.token();
    scene.idp.revokes(&token);
    scene.refused(&token);
    // Zitadel says no when it fails inside: the next question may be answered.
    scene.idp.knows(&token, scene.claims());
    scene.served(&token);
}

#[test]
fn roles_that_are_taken_away_are_gone_with_the_next_answer() {
    let scene = Scene::provider(FRESH);
    let token = scene.token();
    scene.served(&token);
    scene
        .idp
        .knows(&token, scene.claims_with(&json!({"roles": []})));
    let answer = scene.call(&token);
    assert_eq!(answer.status, 403, "{answer:?}");
    scene.silent(&answer, &token);
}
