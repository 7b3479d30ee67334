// The steps of every TypeScript client: list, search, read, count, find,
// describe, and handle errors. `client` is connected; `call` hides the
// differences between the SDKs.
import assert from "node:assert/strict";

const READING = ["aggregate_records", "count_records", "describe_model", "find_by_name", "list_models", "read_records", "search_records"];
const CHANGING = ["call_method", "create_records", "delete_records", "import_records", "post_message", "undo_change", "update_records"];

// `reads` means that this instance is read-only.
export async function steps({ list, call, say, reads = false }) {
  const names = (await list()).map((tool) => tool.name).sort();
  assert.deepEqual(names, reads ? READING : [...READING, ...CHANGING].sort());
  say(`lists ${names.length} tools`);

  const text = async (name, args) => {
    const result = await call(name, args);
    assert.notEqual(result.isError, true, `${name}: ${JSON.stringify(result.content)}`);
    return result.content[0].text;
  };
  const found = await text("search_records", { model: "res.partner", domain: [["is_company", "=", true]], fields: ["name", "email"], limit: 3 });
  const [id, name] = found.split("\n")[1].split(" | ");
  say(`searches: ${id} is ${name}`);
  const cursor = /cursor `([^`]+)`/.exec(found)?.[1];
  assert.ok(cursor, "three companies are not all of them");
  const second = await text("search_records", { model: "res.partner", domain: [["is_company", "=", true]], fields: ["name", "email"], limit: 3, cursor });
  assert.ok(!second.includes(`\n${id} | `), "the next page begins behind the first");
  say("turns the page");
  assert.ok((await text("read_records", { model: "res.partner", ids: [Number(id)], fields: ["name"] })).includes(name));
  say("reads it by its id");
  assert.match(await text("count_records", { model: "res.partner" }), /^[1-9]\d* records/);
  say("counts");
  assert.ok((await text("find_by_name", { model: "res.partner", name: name.slice(0, 6) })).includes(`${id} | `));
  say("finds it by its name");
  assert.match(await text("list_models", { query: "partner" }), /res\.partner \| /);
  assert.match(await text("describe_model", { model: "res.partner" }), /\nname: char/);
  say("describes the model");

  const refused = await call("search_records", { model: "res.partner", domain: [["nam", "=", "x"]] });
  assert.equal(refused.isError, true);
  assert.match(refused.content[0].text, /did you mean `name`/);
  const unknown = await call("count_records", { model: "no.such.model" });
  assert.equal(unknown.isError, true);
  say("gets advice instead");
  await assert.rejects(call("no_such_tool", {}), (error) => error.code === -32602);
  say("is refused an unknown tool");
}
