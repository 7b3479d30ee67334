// Checks that the person behind each TypeScript client is asked before a write,
// and that their answer is obeyed.
// usage: asking.mjs URL TOOL ARGUMENTS
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as v2 from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [url, tool, args] = process.argv.slice(2);
const HERE = dirname(fileURLToPath(import.meta.url));
const remote = join(HERE, "../node_modules/mcp-remote/dist/proxy.js");
const info = { name: "gatepost-e2e", version: "1" };
const capabilities = { elicitation: {} };

const ways = {
  "ts 1.x": async (answer) => {
    const client = new Client(info, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, answer);
    await client.connect(new StreamableHTTPClientTransport(new URL(url)));
    return client;
  },
  "ts 2.x (legacy)": (answer) => second("legacy", answer),
  "ts 2.x (auto)": (answer) => second("auto", answer),
  "mcp-remote": async (answer) => {
    const client = new Client(info, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, answer);
    const command = { command: process.execPath, args: [remote, url, "--allow-http", "--transport", "http-only"] };
    await client.connect(new StdioClientTransport({ ...command, stderr: "ignore" }));
    return client;
  },
};

async function second(mode, answer) {
  const client = new v2.Client(info, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler("elicitation/create", answer);
  await client.connect(new v2.StreamableHTTPClientTransport(new URL(url)));
  return client;
}

// Each change writes something new: what writes nothing needs no approval.
let revenue = 1000;
const change = () => {
  const parsed = JSON.parse(args);
  return { ...parsed, values: { ...parsed.values, expected_revenue: ++revenue } };
};

for (const [name, connect] of Object.entries(ways)) {
  const asked = [];
  let says;
  const client = await connect(async (request) => {
    asked.push(request.params.message);
    return says;
  });
  const call = async () => (await client.callTool({ name: tool, arguments: change() })).content[0].text;
  says = { action: "accept", content: { approve: true } };
  const accepted = await call();
  assert.equal(asked.length, 1, `${name}: ${accepted}`);
  assert.match(asked[0], / -> /);
  assert.match(accepted, /^Updated 1 record/);
  says = { action: "decline" };
  const declined = await call();
  assert.equal(asked.length, 2, `${name}: ${declined}`);
  assert.match(declined, /declined\. Nothing was changed/);
  console.log(`${name}: ${JSON.stringify([asked[0], accepted, declined])}`);
  await client.close();
}

// A client without elicitation: its model is shown a preview, and confirms it.
const client = new Client(info);
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const once = change();
const call = async (more) => (await client.callTool({ name: tool, arguments: { ...once, ...more } })).content[0].text;
const preview = await call({});
const [, confirm] = preview.match(/`confirm`: "([^"]+)"/) ?? assert.fail(preview);
assert.match(await call({ confirm }), /^Updated 1 record/);
assert.match(await call({ confirm }), /used before/);
assert.match(await call({}), /^Nothing was changed, because the records have these values already/);
console.log(`ts 1.x without elicitation: ${JSON.stringify(preview.split("\n").slice(0, 3))}`);
await client.close();
