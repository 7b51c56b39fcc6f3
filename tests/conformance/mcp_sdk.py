"""The official MCP client of Python, unchanged, against `/mcp` in both ways it can connect: every tool is called."""

import asyncio
import os

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

URL = os.environ["LAR_URL"] + "/mcp"


def connection(key):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return streamable_http_client(URL, http_client=httpx2.AsyncClient(headers=headers, timeout=60))


async def every_tool(mode):
    async with Client(connection(os.environ["LAR_KEY"]), mode=mode) as client:
        print(f"mcp: {client.protocol_version}")
        assert client.server_info.name == "lar" and len(client.instructions) < 1000
        listed = await client.list_tools()
        names = {tool.name for tool in listed.tools}
        assert names == {f"memory_{name}" for name in ("search", "save", "get", "feedback", "forget", "brief")}, names

        fact = f"The greenhouse in {mode} is heated from October on."
        saved = await client.call_tool("memory_save", {"content": fact, "kind": "decision", "tags": ["garden"]})
        assert not saved.is_error and saved.structured_content["created"], saved
        id = saved.structured_content["id"]
        again = await client.call_tool("memory_save", {"content": fact, "kind": "decision", "tags": ["garden"]})
        assert again.structured_content["id"] == id and not again.structured_content["created"]

        query = {"query": f"when is the greenhouse in {mode} heated?", "tags": ["garden"], "limit": 1}
        found = await client.call_tool("memory_search", query)
        assert found.content[0].text.endswith(fact) and id in found.content[0].text, found
        assert found.structured_content["results"][0]["id"] == id
        nothing = await client.call_tool("memory_search", {"query": "quantum chromodynamics"})
        assert nothing.content == [] and nothing.structured_content["results"] == [], nothing

        got = await client.call_tool("memory_get", {"id": id})
        assert got.structured_content["content"] == fact
        brief = await client.call_tool("memory_brief", {"token_budget": 200})
        assert any(fact in block.text for block in brief.content), brief
        useful = await client.call_tool("memory_feedback", {"id": id, "feedback": "useful"})
        assert useful.structured_content["version"] == 2
        forgotten = await client.call_tool("memory_forget", {"id": id})
        assert forgotten.structured_content["deleted_at"], forgotten
        assert (await client.call_tool("memory_search", query)).content == []

        for name, arguments, field in [
            ("memory_save", {"content": ""}, "content"),
            ("memory_save", {"content": "my password is hunter22"}, "content"),
            ("memory_search", {"query": "x", "limit": 1000}, "limit"),
            ("memory_search", {"query": "x", "filter": {}}, "filter"),
            ("memory_get", {"id": "mem_0"}, "mem_0"),
            ("memory_feedback", {"id": id, "feedback": "great"}, "feedback"),
        ]:
            refused = await client.call_tool(name, arguments)
            assert refused.is_error and field in refused.content[0].text, refused
        try:
            await client.call_tool("memory_rewrite", {})
            raise AssertionError("there is no such tool")
        except MCPError as error:
            assert "memory_rewrite" in str(error), error


async def without_a_key():
    async with httpx2.AsyncClient() as http:
        refused = await http.post(URL, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert refused.status_code == 401
        where = refused.headers["www-authenticate"].split('resource_metadata="')[1].rstrip('"')
        told = (await http.get(where)).json()
        assert told["resource"] == URL and told["bearer_methods_supported"] == ["header"], told


async def main():
    await without_a_key()
    for mode in ("auto", "legacy"):
        await every_tool(mode)


asyncio.run(main())
print("mcp: every tool, both ways")
