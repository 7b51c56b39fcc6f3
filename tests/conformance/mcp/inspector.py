"""Calls every default tool of `/mcp` of a real Lar with the unmodified command line of the official MCP inspector.

Usage: inspector.py NODE INSPECTOR, with LAR_URL and LAR_KEY."""

import json
import os
import subprocess
import sys

SERVER = ["--cli", os.environ["LAR_URL"] + "/mcp", "--transport", "http"]
KEY = ["--header", "Authorization: Bearer " + os.environ["LAR_KEY"]]


def ask(*options):
    done = subprocess.run([*sys.argv[1:], *SERVER, *KEY, *options], capture_output=True, text=True, timeout=60)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"{options}: {done.stdout}{done.stderr}")


def call(tool, **arguments):
    given = [word for name, value in arguments.items() for word in ("--tool-arg", f"{name}={value}")]
    result = ask("--method", "tools/call", "--tool-name", tool, *given)
    assert not result.get("isError"), result
    return result


tools = {tool["name"] for tool in ask("--method", "tools/list")["tools"]}
assert tools == {f"memory_{name}" for name in ("search", "save", "get", "feedback", "forget", "brief")}, tools
fact = "The inspector looks at the boiler in March."
id = call("memory_save", content=fact, tags='["inspection"]')["structuredContent"]["memory"]["id"]
assert call("memory_get", id=id)["structuredContent"]["content"] == fact
found = call("memory_search", query="when is the boiler looked at?", limit=1, tags='["inspection"]')
assert found["structuredContent"]["results"][0]["id"] == id, found
assert any(fact in block["text"] for block in call("memory_brief", token_budget=200)["content"])
assert call("memory_feedback", id=id, feedback="useful")["structuredContent"]["version"] == 2
assert call("memory_forget", id=id)["structuredContent"]["deleted_at"]
assert call("memory_search", query="boiler", tags='["inspection"]')["content"] == []
print("mcp inspector: listed and called six tools")
