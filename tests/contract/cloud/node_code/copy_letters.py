"""The entry script of the contract tests' parallel node.

Files named in --crash end their worker; those in --slow take too long, and those in --silent are left out of what is
returned, the first time.
"""

import argparse
import os
import time
from pathlib import Path

STATE: dict[str, argparse.Namespace] = {}


def init() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--crash", default="")
    parser.add_argument("--slow", default="")
    parser.add_argument("--silent", default="")
    STATE["options"], _ = parser.parse_known_args()


def run(mini_batch: list[str]) -> list[str]:
    options = STATE["options"]
    rows = []
    for path in map(Path, mini_batch):
        attempts = options.out / f"{path.stem}.{time.time_ns()}.attempt"
        attempts.touch()
        first = len(list(options.out.glob(f"{path.stem}.*.attempt"))) == 1
        if path.stem in options.crash.split(","):
            os._exit(3)
        if path.stem in options.slow.split(",") and first:
            time.sleep(3600)
        (options.out / path.name).write_text(path.read_text().upper())
        if not (path.stem in options.silent.split(",") and first):
            rows.append(path.name)
    return rows
