// The official TypeScript client 1.x. usage: ts1.mjs URL
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { steps } from "./steps.mjs";

const [url] = process.argv.slice(2);
const token = process.env.GATEPOST_TOKEN;
const client = new Client({ name: "gatepost-e2e", version: "1" });
const requestInit = token ? { headers: { Authorization: `Bearer ${token}` } } : {};
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
await steps({
  list: async () => (await client.listTools()).tools,
  call: (name, args) => client.callTool({ name, arguments: args }),
  say: (line) => console.log(`ts 1.x ${line}`),
});
await client.close();
