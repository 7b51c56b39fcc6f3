"""Every command of README and the docs, run as it is written against a real Lar, in a home of its own.

Blocks marked `sh` run line by line with bash, those marked `python` with Python. Commands that stand in a sentence or
a table must be known to the command line. What cannot run here is listed below with its reason; an entry that fits
nothing is an error, so that the list stays true.

The Lar is one of its own, on the test models and a reranker that is made of the embedder, so that the commands change
nothing that others use.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/conformance/llama_cpp"))
sys.dont_write_bytecode = True
import made_reranker

# `docs/decisions` is left out: a decision tells what was true when it was taken, and its commands may be gone.
FOLDERS = ("guides", "concepts", "reference", "errors")
PAGES = [ROOT / "README.md", *(page for folder in FOLDERS for page in sorted((ROOT / "docs" / folder).glob("*.md")))]
LAR, KEY = os.environ["LAR_PROGRAM"], os.environ["LAR_KEY"]
MODELS = pathlib.Path(os.environ["LAR_MODELS_DIR"]).resolve()
EMBEDDER = "all-minilm-l6-v2"
START_TIMEOUT_S = 60

LEFT_OUT = {
    r"^make (run|test)$": "this is a part of `make test`, and tests/conformance/first_run.sh another, which does `make run`",
    r"^lar backup (restore|salvage)": "the server must be stopped; tests/it/{backup,disk} do so",
    r"^python3 -c 'import json; from mem0": "needs mem0 and its memories; a file of that form is read below",
    r"^(mkdir ~/lar|~/lar/lar) ": "an archive that `make dist` makes and tries",
    r"^sudo |^loginctl ": "changes the machine",
    r"^lar service install": "needs systemd; tests/it and `make dist` check the unit",
    r"^docker ": "needs a container engine; `make dist` runs the image",
    r"^lar upgrade": "needs a release; tests/it/upgrade.rs upgrades and goes back",
    r"^lar config set engines.llama_server": "names a program of the reader's; tests/it/llama_server.rs runs one",
    r"^lar connect (codex|open-webui)$": "tries the client itself; tests/it/connect.rs and `make big-clients` do",
    r"^lar models pull hf:": "needs the hub, whose place a server takes in tests/it/downloads.rs; a made reranker is there",
    r"^make client-matrix|matrix/run\.sh": "installs 2.2 GB; `make nightly` runs it",
}
# What stands for something of the reader's.
STANDS_FOR = [("http://127.0.0.1:5270", "{url}"), ("lar_…", KEY), ("/mnt/disk", "{work}/disk")]

failed, ran, left_out, used = [], 0, 0, set()


def command_lines(block):
    """The commands of a block: lines, with those that go on behind a backslash or an open quote."""
    lines, command = block.splitlines(), ""
    for line in lines:
        command = f"{command}\n{line}" if command else line
        quotes = re.sub(r"\\.", "", command.split(" #")[0])
        if line.endswith("\\") or quotes.count("'") % 2 or quotes.count('"') % 2:
            continue
        if command.strip() and not command.strip().startswith("#"):
            yield command
        command = ""
    if command.strip():
        yield command


def run(arguments, text, page, environment, work):
    global ran
    for written, meant in STANDS_FOR:
        text = text.replace(written, meant.replace("{work}", work).replace("{url}", url))
    # Now and then the small model writes to the end of its context, which takes minutes.
    done = subprocess.run([*arguments, text], capture_output=True, text=True, timeout=400, cwd=work, env=environment)
    ran += 1
    if done.returncode:
        failed.append(f"{page.name}: {text}\n{done.stdout}{done.stderr}".strip())


@contextlib.contextmanager
def serving(state):
    """Starts a Lar on models and data below `state`; its address, until it is stopped."""
    (state / "models/blobs").mkdir(parents=True)
    (state / "data").mkdir()
    shutil.copytree(MODELS / "manifests", state / "models/manifests")
    for blob in (MODELS / "blobs").iterdir():
        (state / "models/blobs" / blob.name).symlink_to(blob)
    embedder = json.loads((MODELS / "manifests" / f"{EMBEDDER}.json").read_text())
    made_reranker.make(embedder, MODELS / "blobs", state / "models")
    settings = {
        "LAR_DATA_DIR": str(state / "data"), "LAR_MODELS_DIR": str(state / "models"), "LAR_LISTEN": "127.0.0.1:0",
        "LAR_OWNER_KEY": KEY, "LAR_LOG": "error",
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("LAR_")}
    with open(state / "out", "w") as out:
        process = subprocess.Popen([LAR, "serve"], env=others | settings, stdout=out)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (found := re.search(r"^Lar is at (\S+)$", (state / "out").read_text(), re.M)):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("docs: Lar did not start")
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def prepare(work):
    """The files that the guides' commands read."""
    home = pathlib.Path(work)
    # Without it an answer of 400 and above is a success to curl.
    (home / ".curlrc").write_text("fail-with-body\n")
    (home / "disk").mkdir()
    (home / "bin").mkdir()
    (home / "bin/lar").symlink_to(LAR)
    (home / "mem0.json").write_text(json.dumps({"results": [{"memory": "The docs say that Birch is a dog."}]}))
    (home / "CLAUDE.md").write_text("# Rules\n- Run the tests before a push\n")
    entity = {"type": "entity", "name": "Anna", "entityType": "person", "observations": ["sings"]}
    (home / "memory.jsonl").write_text(json.dumps(entity) + "\n")
    (home / "basic-memory").mkdir()
    (home / "basic-memory/tea.md").write_text("---\ntitle: Tea\n---\n- [fact] Green tea at 80 degrees\n")


def blocks(page, environment, work):
    global left_out
    text = page.read_text()
    for language, block in re.findall(r"^```(sh|bash|python)\n(.*?)^```", text, re.S | re.M):
        if language == "python":
            begin = "" if "import" in block else (
                f'from openai import OpenAI\nclient = OpenAI(base_url="{url}/v1", api_key="{KEY}")\n')
            run([sys.executable, "-c"], begin + block, page, environment, work)
            continue
        for command in command_lines(block):
            reason = next((pattern for pattern in LEFT_OUT if re.search(pattern, command)), None)
            if reason:
                used.add(reason)
                left_out += 1
            else:
                # Lar's own commands find the server of the data directory, as a reader's do.
                own = {name: value for name, value in environment.items() if name != "LAR_URL"}
                environment_of = own if command.startswith("lar ") else environment
                run(["bash", "-euo", "pipefail", "-c"], command, page, environment_of, work)


def arguments_of(usage):
    """How many words may follow a command, by its help; options and further commands are none."""
    lines = re.search(r"^Usage:.*?(?=\n\n|\Z)", usage, re.S | re.M)
    values = re.findall(r"[\[<]([A-Z_]+)[\]>](\.\.\.)?", lines.group() if lines else "")
    values = [more for name, more in values if name not in ("OPTIONS", "COMMAND")]
    return float("inf") if any(values) else len(values)


def known_commands(page, environment):
    """Commands in sentences and tables: their words up to the first argument must be commands of Lar."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    global ran
    for command in sorted(set(re.findall(r"`lar ([a-z][^`]*)`", text))):
        words = command.replace("\\|", "|").split()
        path = []
        for word in words:
            if not re.fullmatch(r"[a-z][a-z|-]*", word):
                break
            path.append(word)
        for alternative in path[-1].split("|") if path else []:
            said = [*path[:-1], alternative]
            # The last words may be arguments.
            for length in range(len(said), 0, -1):
                asked = subprocess.run([LAR, "help", *said[:length]], capture_output=True, text=True, env=environment)
                if asked.returncode == 0:
                    break
            ran += 1
            if asked.returncode or len(said) - length > arguments_of(asked.stdout):
                failed.append(f"{page.name}: `lar {command}` is no command")
            for option in re.findall(r"(--[a-z][a-z-]*)", command):
                if asked.returncode == 0 and option not in asked.stdout:
                    failed.append(f"{page.name}: `lar {command}`: {option} is no option of it")


def check_the_checks(environment, work):
    """What is wrong must be found: a command that is none, and an answer that refuses a request."""
    global ran
    wrong = pathlib.Path(work) / "wrong.md"
    wrong.write_text("`lar backup nonsense`\n\n```sh\ncurl $LAR_URL/v1/models -d 'no JSON'\n```\n")
    blocks(wrong, environment, work)
    known_commands(wrong, environment)
    assert len(failed) == 2, failed
    failed.clear()
    ran = 0


with (
    tempfile.TemporaryDirectory() as work,
    tempfile.TemporaryDirectory() as state,
    serving(pathlib.Path(state)) as url,
):
    prepare(work)
    environment = {
        "HOME": work, "PATH": f"{work}/bin:{os.environ['PATH']}", "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "LAR_URL": url, "LAR_KEY": KEY, "LAR_DATA_DIR": f"{state}/data", "LAR_MODELS_DIR": f"{state}/models",
        "LANG": "C.UTF-8",
    }
    check_the_checks(environment, work)
    for page in PAGES:
        blocks(page, environment, work)
        known_commands(page, environment)
unused = {*LEFT_OUT} - used
failed.extend(f"nothing in the docs fits {pattern!r} any more" for pattern in unused)
if failed:
    sys.exit("\n\n".join(["commands of the docs that fail:", *failed]))
print(f"docs: {ran} commands ran, {left_out} are left out with a reason")
