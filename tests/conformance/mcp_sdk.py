"""Tests `/mcp` of a real Lar with the unmodified official MCP client for Python. Calls every tool, in both connection
modes."""

import asyncio
import os

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

URL = os.environ["LAR_URL"] + "/mcp"


def connection(key, query=""):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return streamable_http_client(URL + query, http_client=httpx2.AsyncClient(headers=headers, timeout=60))


async def every_tool(mode):
    async with Client(connection(os.environ["LAR_KEY"]), mode=mode) as client:
        print(f"mcp: {client.protocol_version}")
        assert client.server_info.name == "lar" and len(client.instructions) < 1000
        listed = await client.list_tools()
        names = {tool.name for tool in listed.tools}
        assert names == {f"memory_{name}" for name in ("search", "save", "get", "feedback", "forget", "brief")}, names

        fact = f"The greenhouse in {mode} is heated from October on."
        saved = await client.call_tool("memory_save", {"content": fact, "kind": "decision", "tags": ["garden"]})
        assert not saved.is_error and saved.structured_content["decision"] == "create", saved
        id = saved.structured_content["memory"]["id"]
        again = await client.call_tool("memory_save", {"content": fact, "kind": "decision", "tags": ["garden"]})
        assert again.structured_content["memory"]["id"] == id and again.structured_content["decision"] == "reinforce"
        corrected = f"The greenhouse in {mode} is heated from November on."
        changed = await client.call_tool("memory_save", {"content": corrected, "kind": "decision", "tags": ["garden"]})
        # Another month may be another fact: both are kept and linked.
        assert changed.structured_content["link"]["older"] == id and fact in changed.content[0].text, changed
        older, fact, id = id, corrected, changed.structured_content["memory"]["id"]

        query = {"query": f"when is the greenhouse in {mode} heated?", "tags": ["garden"], "limit": 5}
        found = await client.call_tool("memory_search", query)
        text = "\n".join(block.text for block in found.content)
        assert f"\n{fact}" in text and id in text, found
        # The newer of two linked memories comes first.
        results = [one["id"] for one in found.structured_content["results"]]
        assert results.index(id) < results.index(older), found
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
        # The older memory that it may have replaced is still there.
        left = await client.call_tool("memory_search", query)
        assert all(id not in block.text for block in left.content), left

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
            raise AssertionError("a call of an unknown tool succeeded")
        except MCPError as error:
            assert "memory_rewrite" in str(error), error


async def other_sets(mode):
    """Tests the tools with the names of an earlier service: listed on request, and always callable."""
    for tools, least in (("vestige", 9), ("all", 15)):
        async with Client(connection(os.environ["LAR_KEY"], f"?tools={tools}"), mode=mode) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert len(names) >= least and {"search", "smart_ingest", "session_context"} <= names, names
    async with Client(connection(os.environ["LAR_KEY"]), mode=mode) as client:
        content = {"content": f"The hens of {mode} lay blue eggs.", "node_type": "concept", "tags": ["hens"]}
        made = await client.call_tool("ingest", content)
        node = made.structured_content["nodeId"]
        assert made.structured_content["success"] and node, made
        again = await client.call_tool("smart_ingest", content)
        assert again.structured_content["decision"] == "reinforce" and again.structured_content["nodeId"] == node
        found = await client.call_tool("search", {"query": "colour of eggs", "limit": 5, "min_similarity": 0.2})
        assert node in [one["id"] for one in found.structured_content["results"]], found
        for name, arguments in [
            ("promote", {"id": node, "reason": "they do"}),
            ("demote", {"id": node}),
            ("memory", {"action": "get", "id": node}),
            ("memory", {"action": "state", "id": node}),
            ("memory", {"action": "edit", "id": node, "content": f"The hens of {mode} lay green eggs."}),
            ("session_context", {"queries": ["hens"], "token_budget": 300}),
            ("memory", {"action": "delete", "id": node}),
        ]:
            done = await client.call_tool(name, arguments)
            assert not done.is_error, (name, arguments, done)
        hens = f"the {mode} hens"
        made = await client.call_tool("intention", {"action": "set", "description": f"Feed {hens}.", "trigger": {"type": "context", "topic": hens}})
        intention = made.structured_content["intentionId"]
        due = await client.call_tool("intention", {"action": "check", "context": {"topics": [f"I went to see {hens}."]}})
        assert [one["id"] for one in due.structured_content["triggered"]] == [intention], due
        done = await client.call_tool("intention", {"action": "update", "id": intention, "status": "complete"})
        assert done.structured_content["success"], done
        left = await client.call_tool("intention", {"action": "list", "filter_status": "active"})
        assert intention not in [one["id"] for one in left.structured_content["intentions"]], left
        made = await client.call_tool("codebase", {"action": "remember_decision", "decision": f"Keep {hens}.", "rationale": "They lay eggs.", "codebase": mode, "files": ["barn.py"]})
        found = await client.call_tool("codebase", {"action": "get_context", "codebase": mode})
        assert made.structured_content["nodeId"] in [one["id"] for one in found.structured_content["decisions"]["items"]], found
        for name in ("intention", "codebase"):
            refused = await client.call_tool(name, {"action": "sleep"})
            assert refused.is_error and "action" in refused.content[0].text, refused
        refused = await client.call_tool("search", {"query": "x", "threshold": 1})
        assert refused.is_error and "threshold" in refused.content[0].text, refused


async def over_stdio(mode):
    """Tests `lar mcp`, which forwards to the running Lar."""
    parameters = StdioServerParameters(command=os.environ["LAR_PROGRAM"], args=["mcp"], env=dict(os.environ))
    async with Client(stdio_client(parameters), mode=mode) as client:
        assert "memory_search" in {tool.name for tool in (await client.list_tools()).tools}
        saved = await client.call_tool("memory_save", {"content": f"The {mode} bees live behind the barn."})
        assert saved.structured_content["decision"] in ("create", "reinforce"), saved
        found = await client.call_tool("memory_search", {"query": "where do the bees live?", "limit": 1})
        assert "barn" in found.content[0].text, found


async def without_a_key():
    async with httpx2.AsyncClient() as http:
        refused = await http.post(URL, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert refused.status_code == 401
        address = refused.headers["www-authenticate"].split('resource_metadata="')[1].rstrip('"')
        metadata = (await http.get(address)).json()
        assert metadata["resource"] == URL and metadata["bearer_methods_supported"] == ["header"], metadata


async def main():
    await without_a_key()
    for mode in ("auto", "legacy"):
        await every_tool(mode)
        await other_sets(mode)
        await over_stdio(mode)


asyncio.run(main())
print("mcp: called every tool in both connection modes")
