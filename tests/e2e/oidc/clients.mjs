// The official TypeScript client, 2.x, with a gateway whose only callers come
// from a real provider: it discovers the authorization server, registers in each
// of the three ways, and steps up.
// usage: clients.mjs GATEPOST
import assert from "node:assert/strict";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { steps } from "../clients/steps.mjs";
import { logIn } from "./browser.mjs";
import { HERE, company, folder, main, port, serve, start } from "./gatepost.mjs";

const [gatepost] = process.argv.slice(2);

/// What a client stores during a login.
function session(name, more = {}) {
  const kept = {};
  const redirectUrl = "http://127.0.0.1:53000/callback";
  return {
    kept,
    redirectUrl,
    clientMetadata: { client_name: name, redirect_uris: [redirectUrl], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none" },
    clientInformation: () => kept.client,
    saveClientInformation: (client) => { kept.client = client; },
    tokens: () => kept.tokens,
    saveTokens: (tokens) => { kept.tokens = tokens; },
    codeVerifier: () => kept.verifier,
    saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
    discoveryState: () => kept.discovery,
    saveDiscoveryState: (state) => { kept.discovery = state; },
    state: () => Math.random().toString(36).slice(2),
    redirectToAuthorization: (url) => { kept.url = url; },
    ...more,
  };
}

/// Connects, logging in as often as the gateway requires; returns the requested
/// scopes.
async function connect(url, provider) {
  const asked = [];
  for (let tries = 0; tries < 4; tries++) {
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
    const client = new Client({ name: "gatepost-e2e", version: "1" });
    provider.kept.url = undefined;
    try {
      await client.connect(transport);
      return { client, asked };
    } catch (error) {
      if (!provider.kept.url) throw error;
    }
    const query = provider.kept.url.searchParams;
    assert.equal(query.get("code_challenge_method"), "S256");
    assert.equal(query.get("resource"), url);
    asked.push(query.get("scope"));
    const back = await logIn(provider.kept.url, { returnTo: provider.redirectUrl });
    await transport.finishAuth(back.searchParams);
  }
  throw new Error(`it wants to log in again and again: ${asked}`);
}

await main(async () => {
  const odoo = await company(gatepost);
  const at = `http://127.0.0.1:${await port()}`;
  const { line } = await start(process.execPath, [join(HERE, "oidc-provider.mjs"), at, folder()], /^READY /);
  const issuer = line.split(" ")[1];
  const gateway = await serve(gatepost, {
    at, odoo,
    provider: `issuer = "${issuer}"\nclient_id = "gw-basic"\nclient_secret = "gw secret/with:odd+chars%"`,
    // Production requests all scopes at once, staging in two steps.
    instances: { production: `challenge_scopes = ["openid", "odoo:read"]`, staging: `challenge_scopes = ["openid"]` },
    grants: `[[grants]]\nroles = ["reader"]\nprovider = "idp"\nscope = "odoo:read"\n`,
  });
  const ways = {
    "dynamic registration": {},
    "a metadata document (CIMD)": { clientMetadataUrl: "https://client.test/oauth/metadata.json" },
    "a client id that was pasted": { clientInformation: () => ({ client_id: "mcp-public", issuer }) },
  };
  const tokens = [];
  for (const [way, more] of Object.entries(ways)) {
    const provider = session(way, more);
    const { client, asked } = await connect(`${at}/production/mcp`, provider);
    assert.equal(asked.length, 1, `${way}: ${asked}`);
    assert.match(asked[0], /odoo:read/);
    await steps({
      reads: true,
      list: async () => (await client.listTools()).tools,
      call: (name, args) => client.callTool({ name, arguments: args }),
      say: (text) => console.log(`ts 2.x, ${way}: ${text}`),
    });
    await client.close();
    tokens.push(provider.kept.tokens.access_token);
  }
  // A provider may limit a registered client to the scopes it registered with, as
  // this one does, so the other clients step up.
  for (const way of ["a metadata document (CIMD)", "a client id that was pasted"]) {
    const provider = session(way, ways[way]);
    const { client, asked } = await connect(`${at}/staging/mcp`, provider);
    assert.equal(asked.length, 2, `${way}: ${asked}`);
    assert.ok(!/odoo:read/.test(asked[0]) && /odoo:read/.test(asked[1]), `${way}: ${asked}`);
    const result = await client.callTool({ name: "count_records", arguments: { model: "res.partner" } });
    assert.match(result.content[0].text, /^\d+ records of/);
    await client.close();
    tokens.push(provider.kept.tokens.access_token);
    console.log(`ts 2.x, ${way}: steps up once, from "${asked[0]}" to "${asked[1]}"`);
  }
  gateway.silent(...tokens);
});
