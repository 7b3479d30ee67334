// A real, certified authorization server (npm `oidc-provider`) on its own port:
// everything is in memory and on loopback, and no secret is worth protecting.
// usage: oidc-provider.mjs GATEWAY FOLDER, where GATEWAY is the origin of the
// gateway whose instances it issues tokens for, and FOLDER gets the gateway's
// key in Zitadel's form. It prints READY and its issuer.
import { createPrivateKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const [gateway, folder] = process.argv.slice(2);

// The issuer contains the port, so listen first and then create the provider.
const http = createServer();
await new Promise((listening) => http.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${http.address().port}`;

async function key(alg, kid) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const named = async (one) => ({ ...(await exportJWK(one)), kid, alg, use: "sig" });
  return { secret: await named(privateKey), open: await named(publicKey) };
}
const signing = await Promise.all([key("RS256", "op-rs256"), key("ES256", "op-es256")]);
const ours = await key("RS256", "81693565968962154");

const SCOPES = "odoo:read odoo:write";
const opaque = { scope: SCOPES, accessTokenFormat: "opaque", accessTokenTTL: 300 };
const jwt = (alg) => ({ scope: SCOPES, accessTokenFormat: "jwt", jwt: { sign: { alg } }, accessTokenTTL: 300 });
// RFC 8707: the resources that a token may be issued for.
const resources = {
  [`${gateway}/production/mcp`]: opaque,
  [`${gateway}/staging/mcp`]: opaque,
  [`${gateway}/short/mcp`]: { ...opaque, accessTokenTTL: 2 },
  [`${gateway}/rs256/mcp`]: jwt("RS256"),
  [`${gateway}/es256/mcp`]: jwt("ES256"),
};

// Client ID Metadata Documents, served to the provider through its own `fetch`.
const CIMD = "https://client.test/oauth/metadata.json";
const documents = {
  [CIMD]: {
    client_id: CIMD,
    client_name: "A client that describes itself",
    application_type: "native",
    redirect_uris: ["http://127.0.0.1/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
};

// The users' roles in Odoo, in Zitadel's format.
const roles = {
  alice: { odoo_reader: { 2801: "acme.test" } },
  bob: { odoo_reader: { 2802: "beta.test" } },
  // Mallory has an account and no role.
};

const asks = { grant_types: [], response_types: [], redirect_uris: [] };
const provider = new Provider(issuer, {
  jwks: { keys: signing.map((one) => one.secret) },
  clients: [
    // The gateway, once for each client authentication method.
    { client_id: "gw-basic", client_secret: "gw secret/with:odd+chars%", token_endpoint_auth_method: "client_secret_basic", ...asks },
    { client_id: "gw-post", client_secret: "gw post+secret&more%", token_endpoint_auth_method: "client_secret_post", ...asks },
    { client_id: "gw-key", token_endpoint_auth_method: "private_key_jwt", token_endpoint_auth_signing_alg: "RS256", jwks: { keys: [ours.open] }, ...asks },
    { client_id: "gw-signed", client_secret: "gw-signed-secret", token_endpoint_auth_method: "client_secret_basic", introspection_signed_response_alg: "RS256", ...asks },
    // A program with its own account.
    { client_id: "robot", client_secret: "robot-secret", grant_types: ["client_credentials"], response_types: [], redirect_uris: [], token_endpoint_auth_method: "client_secret_basic" },
    // The client ID that users paste into a client without registration.
    { client_id: "mcp-public", application_type: "native", token_endpoint_auth_method: "none", grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], redirect_uris: ["http://127.0.0.1/callback"] },
  ],
  scopes: ["openid", "offline_access", ...SCOPES.split(" ")],
  claims: { openid: ["sub"] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  clockTolerance: 0,
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_, client) => client.clientId.startsWith("gw-") },
    jwtIntrospection: { enabled: true },
    revocation: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => {
        if (!resources[resource]) throw Object.assign(new Error("invalid_target"), { status: 400, statusCode: 400, expose: true, error: "invalid_target" });
        return { audience: resource, ...resources[resource] };
      },
    },
    clientIdMetadataDocument: { enabled: true, ack: "draft-02", allowFetch: (_, id) => id in documents },
  },
  // Both in JWTs and in introspection responses.
  extraTokenClaims: (_, token) => {
    const granted = token.accountId ? roles[token.accountId] : { odoo_reader: { 2801: "acme.test" } };
    return granted && { "urn:zitadel:iam:org:project:4711:roles": granted };
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  fetch: async (url) => {
    const document = documents[String(url)];
    if (!document) throw new Error(`nothing is fetched in tests: ${url}`);
    return new Response(JSON.stringify(document), { headers: { "content-type": "application/json", "cache-control": "max-age=60" } });
  },
  ttl: {
    // A number here would override that of the resource.
    AccessToken: (_, token) => token.resourceServer?.accessTokenTTL ?? 300,
    ClientCredentials: (_, token) => token.resourceServer?.accessTokenTTL ?? 300,
    AuthorizationCode: 60, Grant: 3600, IdToken: 300, Interaction: 600, RefreshToken: 3600, Session: 3600,
  },
});
http.on("request", provider.callback());

const pem = createPrivateKey({ key: ours.secret, format: "jwk" }).export({ type: "pkcs1", format: "pem" });
writeFileSync(join(folder, "gw-key.json"), JSON.stringify({ type: "application", keyId: ours.secret.kid, key: pem, appId: "78366403256846242", clientId: "gw-key" }), { mode: 0o600 });
console.log(`READY ${issuer}`);
