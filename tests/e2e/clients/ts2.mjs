// The official TypeScript client 2.x, in both eras.
// usage: ts2.mjs URL [legacy|auto]; the bearer token in GATEPOST_TOKEN.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { steps } from "./steps.mjs";

const [url, mode = "auto"] = process.argv.slice(2);
const token = process.env.GATEPOST_TOKEN;
const client = new Client({ name: "gatepost-e2e", version: "1" }, { versionNegotiation: { mode } });
const requestInit = token ? { headers: { Authorization: `Bearer ${token}` } } : {};
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
const say = (line) => console.log(`ts 2.x (${mode}) ${line}`);
say(`speaks ${client.getNegotiatedProtocolVersion?.() ?? "?"}`);
await steps({
  list: async () => (await client.listTools()).tools,
  call: (name, args) => client.callTool({ name, arguments: args }),
  say,
});
await client.close();
