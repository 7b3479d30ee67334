// The official TypeScript client 1.x over stdin and stdout.
// usage: stdio.mjs COMMAND [ARGUMENT]...
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { steps } from "./steps.mjs";

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: "gatepost-e2e", version: "1" });
await client.connect(new StdioClientTransport({ command, args }));
await steps({
  list: async () => (await client.listTools()).tools,
  call: (name, args) => client.callTool({ name, arguments: args }),
  say: (line) => console.log(`stdio ${line}`),
});
await client.close();
