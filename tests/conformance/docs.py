"""Runs every command of README and the docs unchanged against a real Lar, with a home directory of its own.

Blocks marked `sh` run line by line with bash, blocks marked `python` with Python. Commands in sentences and tables must
exist in the command line. `LEFT_OUT` lists the commands that cannot run here, each with a reason. An entry that matches
no command is an error, so that the list stays true.

The test starts its own Lar with the test models and a reranker generated from the embedder, so that the commands do not
affect other tests.
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

# `docs/decisions` is excluded: a decision describes the time when it was made, and its commands may no longer exist.
FOLDERS = ("guides", "concepts", "reference", "errors")
PAGES = [ROOT / "README.md", *(page for folder in FOLDERS for page in sorted((ROOT / "docs" / folder).glob("*.md")))]
LAR, KEY = os.environ["LAR_PROGRAM"], os.environ["LAR_KEY"]
MODELS = pathlib.Path(os.environ["LAR_MODELS_DIR"]).resolve()
EMBEDDER = "all-minilm-l6-v2"
START_TIMEOUT_S = 60

LEFT_OUT = {
    r"^make (run|test)$": "this script is part of `make test`; tests/conformance/first_run.sh tests `make run`",
    r"^lar backup (restore|salvage)": "needs a stopped server; tests/it/{backup,disk} test it",
    r"^python3 -c 'import json; from mem0": "needs mem0 with memories; a file in its format is imported below",
    r"^(mkdir ~/lar|~/lar/lar) ": "needs the archive that `make dist` builds and tests",
    r"^sudo |^loginctl ": "changes the machine",
    r"^lar service install": "needs systemd; tests/it and `make dist` check the unit",
    r"^docker ": "needs a container engine; `make dist` runs the image",
    r"^lar upgrade": "needs a release; tests/it/upgrade.rs upgrades and goes back",
    r"^lar config set engines.llama_server": "names a program of the reader; tests/it/llama_server.rs runs one",
    r"^lar connect (codex|open-webui)$": "needs the client; tests/it/connect.rs and `make big-clients` test it",
    r"^lar memory judge calibrate": "judges 390 pairs; tests/it/memories/judge.rs starts a calibration",
    r"^lar models pull hf:": "needs the hub; tests/it/downloads.rs uses a fake hub, and a generated reranker is installed here",
    r"^lar alias set default-embedding multilingual": "needs a model of the hub; tests/it/memories/embedders.rs changes embedders",
    r"^make client-matrix|matrix/run\.sh": "installs 2.2 GB; `make nightly` runs it",
}
# Placeholders of the docs, and their values here.
STANDS_FOR = [("http://127.0.0.1:5270", "{url}"), ("lar_…", KEY), ("/mnt/disk", "{work}/disk")]

failed, ran, left_out, used = [], 0, 0, set()


def command_lines(block):
    """Yields the commands of a block. A command continues after a backslash or an open quote."""
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
    # Sometimes the small model generates up to the end of its context, which takes minutes.
    done = subprocess.run([*arguments, text], capture_output=True, text=True, timeout=400, cwd=work, env=environment)
    ran += 1
    if done.returncode:
        failed.append(f"{page.name}: {text}\n{done.stdout}{done.stderr}".strip())


@contextlib.contextmanager
def serving(state):
    """Starts a Lar with models and data below `state`, and yields its address. Stops the Lar at the end."""
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
    """Creates the files that commands of the guides read."""
    home = pathlib.Path(work)
    # Without this setting, a status of 400 or above is a success for curl.
    (home / ".curlrc").write_text("fail-with-body\n")
    (home / "disk").mkdir()
    (home / "bin").mkdir()
    (home / "bin/lar").symlink_to(LAR)
    (home / "mem0.json").write_text(json.dumps({"results": [{"memory": "The docs say that Birch is a dog."}]}))
    (home / "CLAUDE.md").write_text("# Rules\n- Run the tests before a push\n")
    entity = {"type": "entity", "name": "Anna", "entityType": "person", "observations": ["sings"]}
    (home / "memory.jsonl").write_text(json.dumps(entity) + "\n")
    (home / "Vault/.obsidian").mkdir(parents=True)
    (home / "Vault/Anna.md").write_text("---\ncreated: 2026-01-16\n---\nAnna plays the oboe in [[Oslo]].\n")
    (home / "chatgpt-memories.txt").write_text("[2025-01-02] User restores water mills.\n")
    (home / "claude-memory.md").write_text("**Work context**\n\nMira restores water mills.\n")
    for program in ("chatgpt", "claude"):
        (home / f"{program}-export").mkdir()
        (home / f"{program}-export/conversations.json").write_text("[]")
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
                # Lar's own commands find the server through the data directory, as they do for a reader.
                own = {name: value for name, value in environment.items() if name != "LAR_URL"}
                environment_of = own if command.startswith("lar ") else environment
                run(["bash", "-euo", "pipefail", "-c"], command, page, environment_of, work)


def arguments_of(usage):
    """Returns how many arguments a command accepts, according to its help. Options and subcommands do not count."""
    lines = re.search(r"^Usage:.*?(?=\n\n|\Z)", usage, re.S | re.M)
    values = re.findall(r"[\[<]([A-Z_]+)[\]>](\.\.\.)?", lines.group() if lines else "")
    values = [more for name, more in values if name not in ("OPTIONS", "COMMAND")]
    return float("inf") if any(values) else len(values)


def known_commands(page, environment):
    """Checks commands in sentences and tables: the words before the first argument must be commands of Lar."""
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
            words = [*path[:-1], alternative]
            # The last words may be arguments.
            for length in range(len(words), 0, -1):
                usage = subprocess.run([LAR, "help", *words[:length]], capture_output=True, text=True, env=environment)
                if usage.returncode == 0:
                    break
            ran += 1
            if usage.returncode or len(words) - length > arguments_of(usage.stdout):
                failed.append(f"{page.name}: `lar {command}` does not exist")
            for option in re.findall(r"(--[a-z][a-z-]*)", command):
                if usage.returncode == 0 and option not in usage.stdout:
                    failed.append(f"{page.name}: `lar {command}` has no option {option}")


def check_the_checks(environment, work):
    """Checks that this script finds faults: a command that does not exist, and a request that is refused."""
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
failed.extend(f"LEFT_OUT: no command in the docs matches {pattern!r}" for pattern in unused)
if failed:
    sys.exit("\n\n".join(["failed commands of the docs:", *failed]))
print(f"docs: {ran} commands ran, {left_out} were left out with a reason")
