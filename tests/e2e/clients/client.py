"""The official Python client. usage: client.py URL [legacy|auto]"""

import asyncio
import sys

from mcp import Client
from mcp.shared.exceptions import MCPError


async def main(url: str, mode: str) -> None:
    def say(line: str) -> None:
        print(f"python ({mode}) {line}", flush=True)

    async with Client(url, mode=mode) as client:
        say(f"speaks {client.protocol_version}")
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        assert {"search_records", "create_records", "update_records"} <= set(tools), tools
        say(f"lists {len(tools)} tools")

        async def text(name: str, **arguments: object) -> str:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result
            return result.content[0].text

        found = await text("search_records", model="res.partner", fields=["name"], limit=3)
        number, name = found.splitlines()[1].split(" | ", 1)
        say(f"searches: {number} is {name}")
        assert name in await text("read_records", model="res.partner", ids=[int(number)], fields=["name"])
        assert int((await text("count_records", model="res.partner")).split()[0]) > 0
        assert "\nname: char" in await text("describe_model", model="res.partner")
        say("reads, counts, describes")
        refused = await client.call_tool("count_records", {"model": "No Model"})
        assert refused.is_error and "res.partner" in refused.content[0].text, refused
        say("gets advice instead")
        try:
            await client.call_tool("no_such_tool", {})
            raise AssertionError("an unknown tool was called")
        except MCPError as error:
            assert error.error.code == -32602, error
        say("is refused an unknown tool")


asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "auto"))
