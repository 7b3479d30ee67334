//! Revoked tokens and cached results: T-10.
//!
//! `write_max_age_s` applies to tools that write, and is not tested here.

use serde_json::json;

use super::{ConfigOverrides, IdpFixture, NO_CACHE, configuration};
use crate::idp::{Endpoint, wait_until};

// T-10
#[test]
fn token_revoked_before_first_call_is_rejected() {
    let scene = IdpFixture::start();
    let token = scene.token();
    scene.idp.revoke(&token);
    scene.assert_rejected(&token);
}

// T-10
#[test]
fn revoked_token_is_rejected_at_once_without_cache() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    let token = scene.token();
    scene.assert_served(&token);
    scene.assert_served(&token);
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 2);
    scene.idp.revoke(&token);
    scene.assert_rejected(&token);
}

// T-10
#[test]
fn revoked_token_is_rejected_after_cache_ttl() {
    let scene = IdpFixture::with_provider("cache_ttl_s = 1");
    let token = scene.token();
    scene.assert_served(&token);
    scene.idp.revoke(&token);
    wait_until(&scene.idp, "the end of what was kept", || {
        scene.call(&token).status == 401
    });
    scene.assert_rejected(&token);
}

// T-10
#[test]
fn cached_token_is_not_introspected_again_until_provider_settings_change() {
    let scene = IdpFixture::start();
    let token = scene.token();
    for _ in 0..20 {
        scene.assert_served(&token);
    }
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 1);
    scene.idp.revoke(&token);
    scene.assert_served(&token);
    // B6: what is known survives a reload that does not change the provider, also
    // while the provider is down.
    scene.idp.stop();
    let same = configuration(&scene.idp, ConfigOverrides::default());
    scene.gateway.reload(&same);
    scene.assert_served(&token);
    scene.idp.restart();
    scene.gateway.reload(&configuration(
        &scene.idp,
        ConfigOverrides::of_provider("cache_ttl_s = 59"),
    ));
    scene.assert_rejected(&token);
}

// T-10
#[test]
fn cached_result_does_not_outlive_token_expiry() {
    let scene = IdpFixture::with_provider("cache_ttl_s = 300\nclock_skew_s = 0");
    let end = jiff::Timestamp::now().as_second() + 2;
    let token = scene.token_with(&json!({"exp": end}));
    scene.assert_served(&token);
    wait_until(&scene.idp, "the token's end", || {
        scene.call(&token).status == 401
    });
    assert!(jiff::Timestamp::now().as_second() >= end);
}

#[test]
fn rejection_is_cached_for_negative_ttl() {
    let scene = IdpFixture::start();
    let token = scene.token();
    scene.idp.revoke(&token);
    scene.assert_rejected(&token);
    scene.assert_rejected(&token);
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 1);
    let scene = IdpFixture::with_provider("negative_ttl_s = 0");
    let token = scene.token();
    scene.idp.revoke(&token);
    scene.assert_rejected(&token);
    // Zitadel responds `active: false` when it fails internally, so the next
    // introspection may succeed.
    scene.idp.set_token(&token, scene.claims());
    scene.assert_served(&token);
}

#[test]
fn removed_roles_take_effect_with_next_introspection() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    let token = scene.token();
    scene.assert_served(&token);
    scene
        .idp
        .set_token(&token, scene.claims_with(&json!({"roles": []})));
    let answer = scene.call(&token);
    assert_eq!(answer.status, 403, "{answer:?}");
    scene.assert_no_leak(&answer, &token);
}
