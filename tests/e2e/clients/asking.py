"""Whether the person behind the Python client is asked. usage: asking.py URL TOOL ARGUMENTS"""

import asyncio
import json
import sys

from mcp import Client
from mcp.types import ElicitResult


def changes(arguments: dict):
    """Each writes something new: what writes nothing needs no approval."""
    revenue = 2000
    while True:
        revenue += 1
        yield {**arguments, "values": {**arguments["values"], "expected_revenue": revenue}}


async def main(url: str, tool: str, arguments: dict) -> None:
    change = changes(arguments)
    for mode in ("auto", "legacy"):
        asked: list[str] = []
        says = ElicitResult(action="accept", content={"approve": True})

        async def answer(context, params):
            asked.append(params.message)
            return says

        async with Client(url, mode=mode, elicitation_callback=answer) as client:
            accepted = (await client.call_tool(tool, next(change))).content[0].text
            assert len(asked) == 1, accepted
            says = ElicitResult(action="decline")
            declined = (await client.call_tool(tool, next(change))).content[0].text
            assert len(asked) == 2, declined
            print(f"python ({mode}, {client.protocol_version}): {[asked[0], accepted, declined]}", flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
