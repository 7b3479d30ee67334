// The released program in front of the sample company, for the duration of one
// script.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const HERE = dirname(fileURLToPath(import.meta.url));
/// The key of the sample company's administrator.
export const ODOO_KEY = "ad00000000000000000000000000000000000001";

const children = [];
const folders = [];

/// A folder that is removed when the script ends.
export function folder() {
  const made = mkdtempSync(join(tmpdir(), "gatepost-oidc-"));
  folders.push(made);
  return made;
}

/// Starts a program, waits for a line of its output, and records the output.
export async function start(command, args, ready, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  children.push(child);
  const said = [];
  const line = await new Promise((found, failed) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (text) => {
        said.push(text);
        if (ready.test(text)) found(text);
      });
    }
    child.on("exit", (code) => failed(new Error(`${command} ended with ${code}:\n${said.join("\n")}`)));
  });
  return { child, said, line };
}

/// Runs a script, and stops all programs that it started.
export async function main(script) {
  try {
    await script();
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
  await Promise.all(children.map((child) => new Promise((ended) => {
    if (child.exitCode !== null || child.signalCode !== null) return ended();
    child.on("exit", ended);
    child.kill("SIGTERM");
  })));
  for (const one of folders) rmSync(one, { recursive: true, force: true });
}

/// A free port.
export async function port() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/// Starts the sample company as a separate Odoo; returns its URL.
export async function company(gatepost) {
  const odoo = `127.0.0.1:${await port()}`;
  await start(gatepost, ["demo", "--listen", `127.0.0.1:${await port()}`, "--odoo-listen", odoo], /Stop it with Ctrl-C/);
  return `http://${odoo}`;
}

/// `gatepost serve` with an instance for each name, all of them the sample
/// company. `provider` is the content of `[providers.idp]`.
export async function serve(gatepost, { at, odoo, provider, instances, grants, more = "", files = {} }) {
  const where = folder();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(where, name), content);
  const sections = Object.entries(instances).map(([name, lines]) => `
[instances.${name}]
url = "${odoo}"
database = "demo"
api_key = "${ODOO_KEY}"
public_urls = ["${at}/${name}/mcp"]
${lines}`);
  writeFileSync(join(where, "gatepost.toml"), `
[server]
listen = ["${new URL(at).host}"]
[admin]
listen = "127.0.0.1:0"
[providers.idp]
${provider}
${sections.join("\n")}
[roles.reader]
rules = [{ models = ["*"] }]
${grants}
${more}`);
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GATEPOST|ODOO)_/.test(name)));
  const running = await start(gatepost, ["serve", "--config", join(where, "gatepost.toml")], /Opened the listeners/, { env: environment });
  return {
    ...running,
    async stop() {
      const ended = new Promise((over) => running.child.on("exit", over));
      running.child.kill("SIGTERM");
      await ended;
    },
    /// Asserts that the log contains no secret.
    silent(...secrets) {
      const log = running.said.join("\n");
      for (const secret of [ODOO_KEY, ...secrets]) assert.ok(!log.includes(secret), `the log holds ${secret}`);
    },
    /// The memory in use, in MiB, once it is below this bound or after twenty
    /// seconds: freed memory is returned a little later.
    async memory(bound = Infinity) {
      const used = () => {
        const status = readFileSync(`/proc/${running.child.pid}/status`, "utf8");
        return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
      };
      for (let tries = 0; tries < 200 && used() >= bound; tries++) await new Promise((later) => setTimeout(later, 100));
      return used();
    },
  };
}

/// Calls a tool with a token, without an SDK.
export async function call(url, token) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "count_records", arguments: { model: "res.partner" } } }),
  });
  const text = await answer.text();
  let json;
  try { json = JSON.parse(text); } catch { json = undefined; }
  return { status: answer.status, challenge: answer.headers.get("www-authenticate"), text, json };
}

/// Asserts that the call is served.
export async function served(url, token) {
  const answer = await call(url, token);
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.json.result.content[0].text, /^\d+ records of/);
}

/// Asserts that the call is rejected with this status.
export async function refused(url, token, status = 401) {
  const answer = await call(url, token);
  assert.equal(answer.status, status, answer.text);
  return answer;
}
