// Tokens of real providers, validated in every way that the gateway supports.
// usage: asking.mjs GATEPOST
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { logIn } from "./browser.mjs";
import { HERE, company, folder, main, port, refused, serve, served, start } from "./gatepost.mjs";

const [gatepost] = process.argv.slice(2);
const say = (line) => console.log(line);

const GRANT = `
[[grants]]
roles = ["reader"]
provider = "idp"
provider_role = "odoo_reader"
`;
const ROLES = `role_claims = ["/urn:zitadel:iam:org:project:4711:roles"]`;
const FRESH = "cache_ttl_s = 0\nnegative_ttl_s = 0";

const basic = (id, secret) => {
  const form = (text) => encodeURIComponent(text).replace(/%20/g, "+");
  return `Basic ${Buffer.from(`${form(id)}:${form(secret)}`).toString("base64")}`;
};

async function post(url, form, authorization) {
  const answer = await fetch(url, { method: "POST", body: new URLSearchParams(form), headers: authorization ? { authorization } : {} });
  const text = await answer.text();
  assert.ok(answer.ok, `${url}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

/// A user's token from `oidc-provider`: authorization code with PKCE.
async function personsToken(metadata, { resource, scope = "openid odoo:read", name = "alice", offline = false }) {
  const verifier = randomBytes(32).toString("base64url");
  const redirect_uri = "http://127.0.0.1:53682/callback";
  const url = new URL(metadata.authorization_endpoint);
  url.search = new URLSearchParams({
    response_type: "code", client_id: "mcp-public", redirect_uri, resource, prompt: "consent",
    scope: offline ? `${scope} offline_access` : scope,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
  });
  const back = await logIn(url, { returnTo: redirect_uri, name });
  assert.equal(back.searchParams.get("error"), null, back.href);
  return post(metadata.token_endpoint, { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri, code_verifier: verifier, client_id: "mcp-public", resource });
}

const robotsToken = async (metadata, resource, scope = "odoo:read") =>
  (await post(metadata.token_endpoint, { grant_type: "client_credentials", scope, ...(resource && { resource }) }, basic("robot", "robot-secret"))).access_token;

async function oidcProvider(odoo) {
  const at = `http://127.0.0.1:${await port()}`;
  const where = folder();
  const { line } = await start(process.execPath, [join(HERE, "oidc-provider.mjs"), at, where], /^READY /);
  const issuer = line.split(" ")[1];
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  const key = readFileSync(join(where, "gw-key.json"), "utf8");
  const resource = (name) => `${at}/${name}/mcp`;
  // Zitadel has projects instead of RFC 8707; this provider is the other way
  // round.
  const named = (name) => `audiences = ["${resource(name)}"]`;
  const instances = { production: named("production"), staging: named("staging"), short: named("short") };

  const ways = {
    "client_secret_basic with an odd secret": [`client_id = "gw-basic"\nclient_secret = "gw secret/with:odd+chars%"`, "odd+chars"],
    "client_secret_post": [`client_id = "gw-post"\nclient_secret = "gw post+secret&more%"\nclient_auth = "client_secret_post"`, "post+secret"],
    "private_key_jwt with Zitadel's key file": [`kind = "zitadel"\nproject = "4711"\nkey_file = "gw-key.json"`, "BEGIN"],
    "signed answers (RFC 9701)": [`client_id = "gw-signed"\nclient_secret = "gw-signed-secret"\nsigned_introspection = true`, "gw-signed-secret"],
  };
  for (const [way, [client, secret]] of Object.entries(ways)) {
    const gateway = await serve(gatepost, {
      at, odoo, instances, grants: GRANT, files: { "gw-key.json": key },
      provider: `issuer = "${issuer}"\n${client}\n${ROLES}\n${FRESH}`,
    });
    const alice = await personsToken(metadata, { resource: resource("production"), offline: true });
    const staging = await personsToken(metadata, { resource: resource("staging"), name: "bob" });
    await served(resource("production"), alice.access_token);
    await served(resource("staging"), staging.access_token);
    await served(resource("production"), await robotsToken(metadata, resource("production")));
    // A token for the other instance, a refresh token, and an invalid token.
    await refused(resource("production"), staging.access_token);
    await refused(resource("staging"), alice.access_token);
    await refused(resource("production"), alice.refresh_token);
    await refused(resource("production"), alice.id_token, undefined);
    await refused(resource("production"), "invalid-token");
    // A user with an account and no role.
    const mallory = await personsToken(metadata, { resource: resource("production"), name: "mallory" });
    const denied = await refused(resource("production"), mallory.access_token, 403);
    assert.ok(!/insufficient_scope/.test(denied.challenge ?? ""), denied.challenge);
    // Revoked and expired tokens.
    await post(metadata.revocation_endpoint, { token: alice.access_token, client_id: "mcp-public" });
    await refused(resource("production"), alice.access_token);
    const short = await robotsToken(metadata, resource("short"));
    await served(resource("short"), short);
    await untilRefused(resource("short"), short);
    gateway.silent(alice.access_token, staging.access_token, mallory.access_token, short, secret);
    await gateway.stop();
    say(`oidc-provider, ${way}: valid and invalid tokens of people and programs are distinguished`);
  }

  // Signed tokens, which this provider does not introspect.
  const gateway = await serve(gatepost, {
    at, odoo, grants: GRANT, instances: { rs256: "", es256: "", production: "" },
    provider: `issuer = "${issuer}"\nvalidation = "jwt"\n${ROLES}`,
  });
  for (const name of ["rs256", "es256"]) {
    const token = (await personsToken(metadata, { resource: resource(name) })).access_token;
    assert.equal(token.split(".").length, 3);
    await served(resource(name), token);
    await refused(resource(name === "rs256" ? "es256" : "rs256"), token);
    const [header, claims, signature] = token.split(".");
    await refused(resource(name), `${header}.${claims}.${signature.split("").reverse().join("")}`);
    gateway.silent(token);
  }
  const alice = await personsToken(metadata, { resource: resource("rs256") });
  await refused(resource("rs256"), alice.id_token);
  // An opaque token has no signature.
  await refused(resource("production"), (await personsToken(metadata, { resource: resource("production") })).access_token);
  await gateway.stop();
  say("oidc-provider, jwt: RS256 and ES256 are verified; an id token and an opaque one are refused");

  const wrong = await serve(gatepost, {
    at, odoo, instances, grants: GRANT,
    provider: `issuer = "${issuer}"\nclient_id = "gw-basic"\nclient_secret = "a wrong secret"\n${ROLES}`,
  });
  const token = await robotsToken(metadata, resource("production"));
  await refused(resource("production"), token, 503);
  wrong.silent(token, "a wrong secret");
  await wrong.stop();
  say("oidc-provider, a wrong client secret: 503, and no caller is sent to log in again");
}

async function glewlwyd(odoo) {
  const at = `http://127.0.0.1:${await port()}`;
  const { line } = await start(join(HERE, "glewlwyd.sh"), [folder(), String(await port()), at], /^READY /);
  const issuer = line.split(" ")[1];
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  const resource = (name) => `${at}/${name}/mcp`;
  const grants = `[[grants]]\nroles = ["reader"]\nprovider = "idp"\nscope = "odoo:read"\n`;
  const client = `client_id = "gw"\nclient_secret = "gw-secret"`;
  // Its tokens have the type `at+jwt`, are signed, and can be introspected.
  for (const validation of ["introspection", "jwt_then_introspection"]) {
    const gateway = await serve(gatepost, {
      at, odoo, grants, instances: { production: "", staging: "" },
      provider: `issuer = "${issuer}"\n${client}\nvalidation = "${validation}"\n${FRESH}`,
    });
    const token = await robotsToken(metadata, resource("production"), "odoo:read odoo:write");
    const writer = await robotsToken(metadata, resource("production"), "odoo:write");
    await served(resource("production"), token);
    await refused(resource("staging"), token);
    const denied = await refused(resource("production"), writer, 403);
    assert.match(denied.challenge, /error="insufficient_scope"/);
    assert.match(denied.challenge, /scope="[^"]*odoo:read/);
    const [header, claims, signature] = token.split(".");
    await refused(resource("production"), `${header}.${claims}.${signature.split("").reverse().join("")}`);
    const person = await personAtGlewlwyd(metadata, issuer, resource("production"));
    await served(resource("production"), person);
    await post(metadata.revocation_endpoint, { token, token_type_hint: "access_token" }, basic("robot", "robot-secret"));
    await refused(resource("production"), token);
    gateway.silent(token, writer, person, "gw-secret");
    await gateway.stop();
    say(`glewlwyd, ${validation}: valid and invalid tokens are distinguished`);
  }
}

/// A user's token. glewlwyd's login page is a JavaScript application, so its API
/// is used.
async function personAtGlewlwyd(metadata, issuer, resource) {
  const origin = new URL(issuer).origin;
  const jar = new Map();
  const step = async (url, init = {}) => {
    const answer = await fetch(url, { redirect: "manual", ...init, headers: { "content-type": "application/json", ...init.headers, cookie: [...jar].map(([key, value]) => `${key}=${value}`).join("; ") } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      jar.set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1));
    }
    return answer;
  };
  const verifier = randomBytes(32).toString("base64url");
  assert.equal((await step(`${origin}/api/auth/`, { method: "POST", body: JSON.stringify({ username: "alice", password: "alice-pw" }) })).status, 200);
  assert.equal((await step(`${origin}/api/auth/grant/pub`, { method: "PUT", body: JSON.stringify({ scope: "odoo:read" }) })).status, 200);
  const url = new URL(metadata.authorization_endpoint);
  url.search = new URLSearchParams({
    response_type: "code", client_id: "pub", redirect_uri: "http://localhost/callback", scope: "odoo:read", resource, state: "s", g_continue: "1",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
  });
  const answer = await step(url);
  const back = new URL(answer.headers.get("location") ?? "", issuer);
  assert.ok(back.searchParams.get("code"), `${answer.status} ${back}`);
  return (await post(metadata.token_endpoint, { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri: "http://localhost/callback", code_verifier: verifier, client_id: "pub", resource })).access_token;
}

/// Waits until a token is rejected; retries after short pauses.
async function untilRefused(url, token) {
  for (let tries = 0; tries < 200; tries++) {
    const answer = await fetch(url, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" }, body: "{}" });
    await answer.text();
    if (answer.status === 401) return;
    await new Promise((later) => setTimeout(later, 100));
  }
  assert.fail("the token is never over");
}

await main(async () => {
  const odoo = await company(gatepost);
  await oidcProvider(odoo);
  await glewlwyd(odoo);
});
