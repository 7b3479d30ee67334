// mcp-remote, which connects stdio clients to a gateway: it registers, waits for
// the browser on its own port, and then forwards messages.
// usage: mcp-remote.mjs GATEPOST
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { steps } from "../clients/steps.mjs";
import { logIn } from "./browser.mjs";
import { HERE, company, folder, main, port, serve, start } from "./gatepost.mjs";

const [gatepost] = process.argv.slice(2);

await main(async () => {
  const odoo = await company(gatepost);
  const at = `http://127.0.0.1:${await port()}`;
  const { line } = await start(process.execPath, [join(HERE, "oidc-provider.mjs"), at, folder()], /^READY /);
  const issuer = line.split(" ")[1];
  const gateway = await serve(gatepost, {
    at, odoo,
    provider: `issuer = "${issuer}"\nclient_id = "gw-basic"\nclient_secret = "gw secret/with:odd+chars%"\nrole_claims = ["/urn:zitadel:iam:org:project:4711:roles"]`,
    instances: { production: `challenge_scopes = ["openid", "odoo:read"]`, staging: "" },
    grants: `[[grants]]\nroles = ["reader"]\nprovider = "idp"\nprovider_role = "odoo_reader"\n`,
  });
  const remote = join(HERE, "../node_modules/mcp-remote/dist/proxy.js");
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [remote, `${at}/production/mcp`, String(await port()), "--allow-http", "--transport", "http-only"],
    env: { PATH: process.env.PATH, HOME: folder(), MCP_REMOTE_CONFIG_DIR: folder() },
    stderr: "pipe",
  });
  let opened = 0;
  const said = [];
  createInterface({ input: transport.stderr }).on("line", (text) => {
    said.push(text);
    const url = /^\s*(http:\/\/127\.0\.0\.1:\d+\/auth\?\S+)/.exec(text)?.[1];
    if (!url || opened++) return;
    logIn(url).then(() => console.log("mcp-remote: logs in"), (error) => said.push(String(error)));
  });
  const client = new Client({ name: "gatepost-e2e", version: "1" });
  try {
    await client.connect(transport);
    await steps({
      reads: true,
      list: async () => (await client.listTools()).tools,
      call: (name, args) => client.callTool({ name, arguments: args }),
      say: (text) => console.log(`mcp-remote: ${text}`),
    });
  } catch (error) {
    console.error(said.join("\n"));
    throw error;
  }
  assert.ok(opened > 0, "no login was requested");
  await client.close();
  gateway.silent("gw secret", "odd+chars");
});
