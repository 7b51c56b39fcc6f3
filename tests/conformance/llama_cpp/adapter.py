"""A pytest plugin that makes llama.cpp's server tests start a Lar instead of a llama-server.

Start options with an equivalent in Lar become settings, model names and chat templates. Start options that Lar has per
request (seed, temperature, number of tokens) are added to each request. Expectations about the words and token counts of
llama.cpp's test model become `ANY`. `left-out.txt` lists the tests that are not run, with the reasons.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
from unittest.mock import ANY

import openai
import pytest
import requests

import made_reranker
import utils

PROGRAM = os.environ["LAR_PROGRAM"]
MODELS = pathlib.Path(os.environ["LAR_MODELS_DIR"])
LEFT_OUT = pathlib.Path(__file__).with_name("left-out.txt")
CHAT, EMBEDDER = "smollm2-135m-instruct", "all-minilm-l6-v2"
# The key for tests that set none.
KEY = "sk-key-of-the-conformance-suite"
START_TIMEOUT_S = 60
# The test model is 500 times as large as llama.cpp's. Answers whose length no test checks are shortened.
TOKENS_USUAL, TOKENS_MAX = 16, 64
# Model names that the tests send only because the client needs one.
ALIASES = {
    CHAT: ("davinci-002", "gpt-3.5-turbo", "gpt-3.5-turbo-instruct", "gpt-4.1", "test", "codellama70b"),
    EMBEDDER: ("text-embedding-3-small",),
}
# Parameters of tests that describe llama.cpp's test model: the number of prompt tokens, the words of an answer.
OF_THEIR_MODEL = {"n_prompt", "re_content"}
# In these tests a grammar determines the answer, so any model must pass.
CONSTRAINED = (
    "test_completion_with_response_format",
    "test_completion_with_json_schema",
    "test_completion_with_grammar",
)
NATIVE = ("/completion", "/completions", "/infill")
GENERATING = (*NATIVE, "/v1/completions", "/chat/completions", "/v1/chat/completions", "/apply-template")


class Lar:
    """A running Lar with one chat model and one embedder."""

    running = None

    def __init__(self, options):
        self.options = options
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="lar-"))
        self.install(options["model"], options["template"], options["reranks"])
        settings = f"""
allowed_origins = {json.dumps(options["origins"])}
[engines]
concurrency = {options["slots"]}
context_tokens_max = {options["context"]}
# Two threads wait for each other. Beside other programs, one thread is faster.
threads = 1
"""
        (self.data / "lar.toml").write_text(settings)
        environment = os.environ | {
            "LAR_DATA_DIR": str(self.data),
            "LAR_MODELS_DIR": str(self.data / "models"),
            "LAR_LISTEN": "127.0.0.1:0",
            "LAR_OWNER_KEY": options["key"],
            "LAR_LOG": "error",
        }
        with open(self.data / "out", "w") as out:
            self.process = subprocess.Popen([PROGRAM, "serve"], env=environment, stdout=out)
        self.url = self.wait()
        for target, names in ALIASES.items():
            target = options["model"] if target == CHAT else target
            for name in names:
                self.alias(name, target)

    def install(self, name, template, reranks):
        """Links the test models; the chat model gets the name and the chat template that the test gave."""
        (self.data / "models" / "manifests").mkdir(parents=True)
        (self.data / "models" / "blobs").mkdir()
        for source in (CHAT, EMBEDDER):
            manifest = json.loads((MODELS / "manifests" / f"{source}.json").read_text())
            for file in manifest["files"]:
                blob = f"sha256-{file['sha256']}"
                (self.data / "models" / "blobs" / blob).symlink_to(MODELS / "blobs" / blob)
            if source == CHAT:
                manifest["name"] = name
                manifest["facts"]["chat_template"] = template or manifest["facts"]["chat_template"]
            (self.data / "models" / "manifests" / f"{manifest['name']}.json").write_text(json.dumps(manifest))
        if reranks:
            made_reranker.make(manifest, MODELS / "blobs", self.data / "models")

    def wait(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"^Lar is at (\S+)", (self.data / "out").read_text(), re.MULTILINE):
                return urllib.parse.urlsplit(found[1])
            time.sleep(0.02)
        raise RuntimeError(f"Lar did not start with {self.options}")

    def alias(self, name, target):
        headers = {"Authorization": f"Bearer {self.options['key']}"}
        body = {"name": name, "target": target}
        requests.post(f"{self.url.geturl()}/lar/v1/aliases", json=body, headers=headers).raise_for_status()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.data)

    @classmethod
    def with_options(cls, options):
        """Returns the running Lar if it has these options, or a new one."""
        if cls.running and cls.running.options != options:
            cls.running.stop()
            cls.running = None
        cls.running = cls.running or cls(options)
        return cls.running


def options_of(server):
    """Converts the options of a test's server to those of Lar."""
    slots = server.n_slots or 1
    context = server.n_ctx or 512
    template = server.chat_template
    if server.chat_template_file:
        template = pathlib.Path(server.chat_template_file).read_text()
    elif template == "chatml":
        template = None  # The template of the test model is ChatML.
    origins = ["*"]
    if server.cors_origins == "localhost" or server.server_tools:
        origins = [f"http://{host}{port}" for host in ("localhost", "127.0.0.1", "[::1]") for port in ("", ":*")]
    return {
        "model": "model" if server.server_embeddings or server.server_reranking else server.model_alias or "model",
        "template": template,
        "slots": slots,
        "context": context if server.kv_unified else context // slots,
        "origins": origins,
        "key": server.api_key or KEY,
        "reranks": server.server_reranking,
    }


def start(server, timeout_seconds=None):
    lar = Lar.with_options(options_of(server))
    server.server_host, server.server_port = lar.url.hostname, lar.url.port
    server.key = lar.options["key"]
    server.per_request = {"seed": server.seed, "temperature": server.temperature}
    if server.reasoning == "off":
        server.per_request["chat_template_kwargs"] = {"enable_thinking": False}
    # Lar has no default seed.
    server.seed = ANY
    server.ready = True


def with_options(server, path, data):
    """Adds the start options of llama-server that Lar has per request."""
    if path == "/v1/messages" and "max_tokens" in data:
        return data | {"max_tokens": min(data["max_tokens"], TOKENS_MAX)}
    if path not in GENERATING or not isinstance(data, dict):
        return data
    data = server.per_request | data
    if (server.n_predict or 0) > 0 and not {"n_predict", "max_tokens"} & data.keys():
        data["max_tokens"] = min(server.n_predict, TOKENS_USUAL)
    # llama.cpp's test model never ends an answer by itself, and tests count its tokens.
    if path in NATIVE and not {"ignore_eos", "grammar", "json_schema"} & data.keys():
        data["ignore_eos"] = True
    return data


def with_key(server, headers):
    """Adds the owner's key, unless a test sends a key or omits it on purpose."""
    headers = dict(headers or {})
    if not any(name.lower() in ("authorization", "x-api-key") for name in headers):
        headers["Authorization"] = f"Bearer {server.key}"
    return {name: value for name, value in headers.items() if value is not None}


def as_theirs(body):
    """Removes differences without meaning.

    In llama.cpp's answers the name of the build starts with `b`, the content of the first delta is null, and the start
    token of the model precedes a prompt.
    """
    if not isinstance(body, dict):
        return body
    for choice in body.get("choices") or []:
        if isinstance(choice, dict) and (choice.get("delta") or {}).get("content") == "" and "role" in choice["delta"]:
            choice["delta"]["content"] = None
    if isinstance(body.get("system_fingerprint"), str):
        body["system_fingerprint"] = "b" + body["system_fingerprint"]
    if isinstance(body.get("prompt"), str) and "content" in body:
        body["prompt"] = "<s> " + body["prompt"]
    return body


def with_prompt(server, data, body):
    """Adds the rendered prompt, which llama-server shows with `--verbose` and Lar with `/apply-template`."""
    if server.debug and isinstance(data, dict) and "messages" in data and "choices" in body:
        rendered = server.make_request("POST", "/apply-template", data=data).body
        body["__verbose"] = {"prompt": rendered["prompt"]}


def patch_server():
    request, stream = utils.ServerProcess.make_request, utils.ServerProcess.make_stream_request

    def make_request(self, method, path, data=None, headers=None, **more):
        answer = request(self, method, path, with_options(self, path, data), with_key(self, headers), **more)
        # Header names are case-insensitive, but the tests expect llama.cpp's case.
        answer.headers = {name.title(): value for name, value in answer.headers.items()}
        # Browsers only read the headers of a preflight answer. llama.cpp always answers 200.
        if method == "OPTIONS" and answer.status_code in (204, 405):
            answer.status_code = 200
        as_theirs(answer.body)
        if path in GENERATING and answer.status_code == 200:
            with_prompt(self, data, answer.body)
        return answer

    def make_stream_request(self, method, path, data=None, headers=None, **more):
        data, headers = with_options(self, path, data), with_key(self, headers)
        return map(as_theirs, stream(self, method, path, data, headers, **more))

    utils.ServerProcess.start = start
    utils.ServerProcess.stop = lambda self: None
    utils.ServerProcess.make_request = make_request
    utils.ServerProcess.make_stream_request = make_stream_request
    utils.ServerPreset.load_all = staticmethod(lambda: None)
    utils.match_regex = match_regex


def match_regex(regex, text):
    if is_constrained:
        return re.search(regex, text, re.IGNORECASE | re.MULTILINE | re.DOTALL) is not None
    return isinstance(text, str)


is_constrained = False


def patch_openai():
    """Patches OpenAI's client: adds the key and the number of tokens, and removes differences without meaning."""
    construct, make = openai.BaseModel.construct.__func__, openai.OpenAI.__init__

    def with_key(self, *arguments, **named):
        if named.get("api_key") == "dummy":
            named["api_key"] = Lar.running.options["key"]
        make(self, *arguments, **named)

    openai.OpenAI.__init__ = with_key
    openai.BaseModel.construct = classmethod(
        lambda cls, fields=None, **values: construct(cls, fields, **as_theirs(values))
    )
    completions = openai.resources.chat.completions.Completions
    create = completions.create
    completions.create = lambda self, **named: create(self, **({"max_tokens": TOKENS_USUAL} | named))


patch_server()
patch_openai()
# pytest ends its session on `SIGINT`, which stops the Lar.
signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))


def left_out():
    """Returns patterns of test ids with the reasons why those tests are not run. `*` stands for any characters."""
    reasons = {}
    for line in LEFT_OUT.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, _, reason = line.partition("  ")
            reasons[pattern] = reason.strip()
    return reasons


def fits(pattern, test):
    """Returns whether a pattern matches a test's id, file or function."""
    regex = ".*".join(map(re.escape, pattern.split("*")))
    return re.fullmatch(rf"{regex}((\[|::).*)?", test, re.DOTALL) is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    reasons, used = left_out(), set()
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        for name in OF_THEIR_MODEL & parameters.keys():
            if parameters[name] is not None and item.originalname not in CONSTRAINED:
                parameters[name] = ANY
        # The rest of 256 tokens after the prompt. The prompt has 8 tokens with llama.cpp's model and 4 with this one.
        if parameters.get("n_token_output") == 248:
            parameters["n_token_output"] = 252
        if item.originalname == "test_rerank_usage":
            parameters["n_tokens"] = ANY
        test = item.nodeid.removeprefix("unit/")
        found = [pattern for pattern in reasons if fits(pattern, test)]
        used.update(found)
        if found:
            item.add_marker(pytest.mark.skip(reason=reasons[found[0]]))
    unknown = [pattern for pattern in reasons if pattern not in used]
    if unknown and not config.args_source.name == "ARGS":
        raise pytest.UsageError(f"patterns in {LEFT_OUT.name} that match no test: {unknown}")


def pytest_runtest_setup(item):
    global is_constrained
    is_constrained = item.originalname in CONSTRAINED


def pytest_sessionfinish():
    if Lar.running:
        Lar.running.stop()
