"""Measures the same adds and searches with Lar and with other memory systems for agents, and prints a table.

One caller sends one request after another, interleaved over the systems. Systems that use an external embedder get
Lar's over HTTP. scripts/memory-peers.sh starts a Lar and runs this script with its address."""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

URL, KEY = os.environ["LAR_URL"], os.environ["LAR_KEY"]
ADDS, SEARCHES, RESULTS = 500, 200, 5
SUBJECTS = ["the boiler", "Anna", "the orders service", "the garden gate", "our landlord", "the night train", "Emma's school", "the backup server", "the choir", "the blue car"]
FACTS = ["was repaired by Meyer", "prefers mornings", "moved to the second floor", "costs {n} euros a month", "is closed on day {n}", "has {n} doors", "answers at extension {n}", "was painted in year {n}", "needs part number {n}", "starts at minute {n}"]


def texts():
    mixed = random.Random(7)
    made = [f"{mixed.choice(SUBJECTS)} {mixed.choice(FACTS).format(n=n)} (note {n})" for n in range(ADDS)]
    asked = [f"what about {mixed.choice(SUBJECTS)} and number {mixed.randrange(ADDS)}?" for _ in range(SEARCHES)]
    return made, asked


def post(path, body):
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def embed(some):
    return [one["embedding"] for one in post("/v1/embeddings", {"model": "default-embedding", "input": some})["data"]]


class Lar:
    name = "Lar, `POST memories`"

    def add(self, text):
        post("/lar/v1/memories", {"content": text})

    def search(self, text):
        assert post("/lar/v1/memories/search", {"query": text, "limit": RESULTS})["results"]


class LarSmart(Lar):
    """Smart ingest, in a space of its own, so that it supersedes only its own memories."""

    name = "Lar, `POST memories/smart`"

    def call(self, path, body):
        request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"authorization": f"Bearer {KEY}", "content-type": "application/json", "x-agent-id": "smart"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def add(self, text):
        self.call("/lar/v1/memories/smart", {"content": text})

    def search(self, text):
        assert self.call("/lar/v1/memories/search", {"query": text, "limit": RESULTS})["results"]


class Chroma:
    name = "chromadb (in process, Lar's embedder)"

    def __init__(self, folder):
        import chromadb

        class Embedder(chromadb.EmbeddingFunction):
            def __init__(self):
                pass

            def __call__(self, input):
                return embed(list(input))

        client = chromadb.PersistentClient(path=folder, settings=chromadb.Settings(anonymized_telemetry=False))
        self.collection = client.create_collection("bench", embedding_function=Embedder())
        self.count = 0

    def add(self, text):
        self.count += 1
        self.collection.add(ids=[str(self.count)], documents=[text])

    def search(self, text):
        assert self.collection.query(query_texts=[text], n_results=RESULTS)["ids"][0]


class Mem0:
    name = "mem0ai (`infer=False`, Qdrant on disk, Lar's embedder)"

    def __init__(self, folder):
        os.environ["MEM0_TELEMETRY"] = "False"
        os.environ["MEM0_DIR"] = folder
        from mem0 import Memory

        openai = {"api_key": KEY, "openai_base_url": URL + "/v1"}
        self.memory = Memory.from_config({
            "embedder": {"provider": "openai", "config": {**openai, "model": "default-embedding", "embedding_dims": 384}},
            "llm": {"provider": "openai", "config": {**openai, "model": "default"}},
            "vector_store": {"provider": "qdrant", "config": {"path": folder + "/qdrant", "embedding_model_dims": 384, "on_disk": True}},
            "history_db_path": folder + "/history.db",
        })

    def add(self, text):
        self.memory.add(text, user_id="bench", infer=False)

    def search(self, text):
        found = self.memory.search(text, filters={"user_id": "bench"}, top_k=RESULTS)
        assert found["results"]


class Stdio:
    """A server of the Model Context Protocol in its own process."""

    def start(self, command, environment):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
        self.number = 0
        self.call("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def call(self, method, params):
        self.number += 1
        self.send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer.get("id") == self.number:
                break
        assert "error" not in answer and not answer["result"].get("isError"), answer
        return answer["result"]

    def tool(self, name, **arguments):
        return self.call("tools/call", {"name": name, "arguments": arguments})


class Reference(Stdio):
    name = "@modelcontextprotocol/server-memory (keywords only, over stdio)"

    def __init__(self, folder):
        self.start(["node", os.environ["SERVER_MEMORY"]], {"MEMORY_FILE_PATH": folder + "/memory.jsonl"})

    def add(self, text):
        self.tool("create_entities", entities=[{"name": f"note {self.number}", "entityType": "note", "observations": [text]}])

    def search(self, text):
        # It searches for the whole query as one string, so only a single word can be found.
        self.tool("search_nodes", query=text.split()[2])


class BasicMemory(Stdio):
    # Its vectors need a SQLite that loads extensions. Not every Python has one.
    name = "basic-memory (one Markdown file per memory, keywords only, over stdio)"

    def __init__(self, folder):
        settings = {"HOME": folder + "/notes", "CONFIG_DIR": folder + "/config", "SEMANTIC_SEARCH_ENABLED": "false", "NO_PROMOS": "1"}
        self.start([os.environ["BASIC_MEMORY"], "mcp"], {"BASIC_MEMORY_" + name: value for name, value in settings.items()} | {"HOME": folder})

    def add(self, text):
        self.tool("write_note", title=f"note {self.number}", content=text, directory="notes")

    def search(self, text):
        self.tool("search_notes", query=text, page_size=RESULTS, search_type="text", output_format="json")


def versions():
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("mem0ai", "chromadb"))


def others(folder):
    """Systems that need a newer Python than Debian 12 has; none if there is no such Python."""
    return [lambda: BasicMemory(folder + "/basic")] if os.environ.get("BASIC_MEMORY") else []


def main():
    folder = tempfile.mkdtemp()
    systems, failed = [], []
    for make in (Lar, LarSmart, lambda: Chroma(folder + "/chroma"), lambda: Mem0(folder + "/mem0"), lambda: Reference(folder), *others(folder)):
        try:
            systems.append(make())
        except Exception as error:  # A peer that does not start is reported, not hidden.
            failed.append(repr(error)[:200])
    made, asked = texts()
    times = {system.name: {"add": [], "search": []} for system in systems}
    order = random.Random(11)
    for what, some in (("add", made), ("search", asked)):
        for text in some:
            for at, system in order.sample(list(enumerate(systems)), len(systems)):
                # The embedder caches embeddings, so every system gets its own text.
                own = f"{text} {chr(97 + at)}"
                started = time.perf_counter()
                getattr(system, what)(own)
                times[system.name][what].append(1000 * (time.perf_counter() - started))
    print(f"{ADDS} adds and {SEARCHES} searches with {RESULTS} results each, one caller, interleaved; {versions()}. Times in ms.\n"
          "The ratio is the median divided by that of Lar's `POST memories`.\n")
    print("| | add p50 | p95 | ratio | search p50 | p95 | ratio |\n|---|---|---|---|---|---|---|")
    base = {what: statistics.median(times[systems[0].name][what]) for what in ("add", "search")}
    for system in systems:
        cells = []
        for what in ("add", "search"):
            some = sorted(times[system.name][what])
            median = statistics.median(some)
            cells.append(f"{median:.1f} | {some[int(0.95 * len(some))]:.1f} | {median / base[what]:.2f}")
        print(f"| {system.name} | {' | '.join(cells)} |")
    for reason in failed:
        print(f"\nA system did not start: {reason}")
    sys.stdout.flush()
    os._exit(0)


main()
