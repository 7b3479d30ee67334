// The memory that a provider and a flood can cost the gateway: responses of
// hundreds of megabytes, and ten thousand invalid tokens.
// usage: bounds.mjs GATEPOST
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";
import { call, company, main, port, serve } from "./gatepost.mjs";

const [gatepost] = process.argv.slice(2);

/// A provider that rejects every token, or sends huge responses.
async function provider() {
  let says = "no";
  let asked = 0;
  const bomb = gzipSync(Buffer.alloc(256 << 20, 32));
  const part = Buffer.alloc(64 << 10, "A");
  const server = createServer((request, answer) => {
    asked++;
    answer.on("error", () => {});
    request.resume();
    const json = { "content-type": "application/json" };
    if (says === "no") return answer.writeHead(200, json).end('{"active":false}');
    if (says === "bomb") return answer.writeHead(200, { ...json, "content-encoding": "gzip" }).end(bomb);
    answer.writeHead(200, json).write('{"active":true,"x":"');
    let left = 1024;
    const more = () => {
      while (left-- > 0) if (!answer.write(part)) return;
      answer.end('"}');
    };
    answer.on("drain", more);
    more();
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    at: `http://127.0.0.1:${server.address().port}`,
    says: (word) => { says = word; asked = 0; },
    asked: () => asked,
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

const token = () => `tok-${randomBytes(24).toString("hex")}`;

/// Sends this number of tokens, 64 at once; returns how often each status was
/// received.
async function flood(url, tokens) {
  const statuses = {};
  let left = tokens;
  await Promise.all(Array.from({ length: 64 }, async () => {
    while (left-- > 0) {
      const { status } = await call(url, token());
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  }));
  return statuses;
}

await main(async () => {
  const odoo = await company(gatepost);
  const at = `http://127.0.0.1:${await port()}`;
  const idp = await provider();
  const gateway = await serve(gatepost, {
    at, odoo, instances: { production: "", staging: "" },
    provider: `issuer = "${idp.at}"\nintrospection_url = "${idp.at}/introspect"\nclient_id = "gw"\nclient_secret = "gw-secret"`,
    grants: `[[grants]]\nroles = ["reader"]\nprovider = "idp"\nscope = "odoo:read"\n`,
    more: `[limits]\nfailed_logins_per_minute = 100\nfailed_logins_burst = 500\n`,
  });
  const url = `${at}/production/mcp`;
  // The memory needed in any case: threads, connections, the cache of rejected
  // tokens.
  await flood(url, 400);
  const before = await gateway.memory();

  for (const word of ["bomb", "big"]) {
    idp.says(word);
    assert.equal((await call(url, token())).status, 503);
    assert.ok(idp.asked() >= 1);
  }
  const afterBig = await gateway.memory(before + 8);
  assert.ok(afterBig - before < 8, `${before} MiB, then ${afterBig} MiB`);
  console.log(`answers of 64 and 256 MiB: 503, and ${Math.max(0, afterBig - before).toFixed(1)} MiB more`);

  idp.says("no");
  const statuses = await flood(url, 10_000);
  const asked = idp.asked();
  assert.ok(asked < 1_000, `${asked} questions`);
  assert.ok(statuses[429] > 8_000, JSON.stringify(statuses));
  const afterFlood = await gateway.memory(before + 16);
  assert.ok(afterFlood - before < 16, `${before} MiB, then ${afterFlood} MiB`);
  console.log(`10,000 random tokens: ${asked} questions, ${JSON.stringify(statuses)}, and ${Math.max(0, afterFlood - before).toFixed(1)} MiB more`);
  idp.close();
});
