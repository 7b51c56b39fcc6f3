"""Prints the results of the matrix as a table, and compares them with known.json.

Fails if a check fails that known.json does not list, or if known.json lists a check that passes or does not exist. The
arguments are the results (one line of JSON for each client), known.json, and the names of the selected scripts, if any.
"""

import json
import os
import sys

outcomes = [json.loads(line) for line in open(sys.argv[1])]
known, chosen = json.load(open(sys.argv[2])), sys.argv[3:]
some_checks_only = bool(os.environ.get("MATRIX_CHECK"))
problems, differences = [], []

print("| client | version | checks passed | failed checks |\n|---|---|---|---|")
for outcome in outcomes:
    script, checks, failed = outcome["script"], outcome["checks"], outcome["failed"]
    listed = known.get(script, {})
    print(f"| {outcome['client']} | {outcome['version']} | {len(checks) - len(failed)} of {len(checks)} | {', '.join(failed) or '–'} |")
    differences += [f"known: {script} {name}: {listed[name]}" for name in failed if name in listed]
    problems += [f"failed: {script} {name}: {why}" for name, why in failed.items() if name not in listed]
    problems += [f"passes, remove it from known.json: {script} {name}" for name in listed if name in checks and name not in failed]
    if not some_checks_only and "start" not in failed:
        problems += [f"no such check, remove it from known.json: {script} {name}" for name in listed if name not in checks]
scripts = [outcome["script"] for outcome in outcomes]
problems += [f"no such client: {script}" for script in chosen if script not in scripts]
if not chosen:
    problems += [f"no such client, remove it from known.json: {script}" for script in known if script not in scripts]
total, failed = (sum(len(outcome[part]) for outcome in outcomes) for part in ("checks", "failed"))
print(f"| all | | {total - failed} of {total} | |\n")
print("\n".join(differences + problems))
sys.exit(bool(problems))
