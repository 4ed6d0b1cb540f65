"""A command node of the contract tests: says what it was given, and writes it to its output."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--text", default="")
parser.add_argument("--report")
parser.add_argument("--exit-code", type=int, default=0)
parser.add_argument("--wait-for")
arguments = parser.parse_args()

print("given", arguments.text, flush=True)
if arguments.wait_for:
    # Holds the node until the test lets it go (or ends it).
    Path(arguments.wait_for).with_suffix(".started").touch()
    while not Path(arguments.wait_for).exists():
        time.sleep(0.02)
files = {}
if arguments.data:
    root = Path(arguments.data)
    found = [root] if root.is_file() else sorted(f for f in root.rglob("*") if f.is_file())
    files = {f.name: f.read_text(errors="replace") for f in found}
if arguments.report:
    report = {"files": files, "text": arguments.text, "environment": dict(os.environ)}
    Path(arguments.report, "report.json").write_text(json.dumps(report))
if arguments.exit_code:
    print("giving up on purpose", file=sys.stderr)
sys.exit(arguments.exit_code)
