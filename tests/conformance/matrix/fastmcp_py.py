"""`fastmcp` over HTTP and standard input."""

import asyncio
import os

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from harness import KEY, URL, run

WAYS = {
    "http": lambda: StreamableHttpTransport(URL + "/mcp", headers={"Authorization": f"Bearer {KEY}"}),
    "stdio": lambda: StdioTransport(os.environ["LAR_PROGRAM"], ["mcp"], env=dict(os.environ)),
}


def of(way):
    def session(done):
        async def go():
            async with Client(WAYS[way]()) as client:
                return await done(client)

        return asyncio.run(go())

    def tools():
        async def done(client):
            return {tool.name for tool in await client.list_tools()}

        assert {"memory_search", "memory_save", "memory_get"} <= session(done)

    def saves_and_finds():
        async def done(client):
            await client.call_tool("memory_save", {"content": "The matrix runs fastmcp.", "tags": None})
            return await client.call_tool("memory_search", {"query": "What does the matrix run?", "limit": 5.0, "tags": None})

        assert any("fastmcp" in block.text for block in session(done).content)

    def errors():
        async def done(client):
            return await client.call_tool("memory_get", {"id": "mem_nothing"}, raise_on_error=False)

        assert session(done).is_error

    named = [tools, saves_and_finds, errors]
    for check in named:
        check.__name__ = f"{way}_{check.__name__}"
    return named


run("fastmcp", "fastmcp", [check for way in WAYS for check in of(way)])
