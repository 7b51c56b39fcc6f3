"""Runs the checks of one client and prints the results as one line of JSON."""

import json
import os
import sys
import traceback
from importlib.metadata import version

URL, KEY = os.environ["LAR_URL"], os.environ["LAR_KEY"]
CHAT, EMBEDDER = "default", "default-embedding"
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}},
    "required": ["city"],
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def tool(name="get_weather"):
    return {"type": "function", "function": {"name": name, "description": "The weather of a city", "parameters": WEATHER}}


def run(client, package, checks):
    """Runs the checks, which are functions. A check passes if it raises nothing. Prints the version of `package`."""
    failed, selected = {}, os.environ.get("MATRIX_CHECK", "")
    checks = [check for check in checks if selected in check.__name__]
    for check in checks:
        try:
            check()
        except BaseException as error:  # a client may raise something else than an Exception
            failed[check.__name__] = f"{type(error).__name__}: {error}"[:300]
            if selected:
                traceback.print_exc()
    sys.stdout.flush()
    outcome = {"client": client, "version": version(package), "checks": [check.__name__ for check in checks], "failed": failed}
    print("\n" + json.dumps(outcome), flush=True)
    os._exit(0)  # some clients leave threads that never end


def checks_of(names):
    """Returns the checks of a module in their order."""
    return [value for name, value in names.items() if name.startswith("check_")]
