"""Prints the outcome of the matrix as a table, and fails where a check fails that known.json does not list with its reason."""

import json
import sys

results = [json.loads(line) for line in open(sys.argv[1])]
known = json.load(open(sys.argv[2]))
new, passing = [], []
print("| client | passed | of | failed |\n|---|---|---|---|")
for result in results:
    failed, listed = result["failed"], known.get(result["script"], {})
    print(f"| {result['client']} | {result['passed']} | {result['passed'] + len(failed)} | {', '.join(failed) or '–'} |")
    new += [(result["script"], name, why) for name, why in failed.items() if name not in listed]
    passing += [(result["script"], name) for name in listed if name not in failed]
total, passed = sum(r["passed"] + len(r["failed"]) for r in results), sum(r["passed"] for r in results)
print(f"| all | {passed} | {total} | |\n")
for script, name, why in new:
    print(f"failed: {script} {name}: {why}")
for script, name in passing:
    print(f"passes, take it out of known.json: {script} {name}")
sys.exit(bool(new))
