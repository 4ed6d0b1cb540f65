"""`python -m bench.cold_start`: import time of `function_app` against that of `azure.functions` alone.

Fresh interpreters in turn, so that both see the same machine; the ratio of the medians is what counts. Budget: 1.3.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.verdict import verdict

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15
MAX_RATIO = 1.3
TIMED = "import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"


def import_seconds(module: str) -> float:
    """Seconds that one import takes in a fresh interpreter."""
    command = [sys.executable, "-c", TIMED.format(module=module)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    modules = ("azure.functions", "function_app")
    for module in modules:
        import_seconds(module)
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(RUNS):
        for module in modules:
            times[module].append(import_seconds(module))
    medians = {module: statistics.median(each) for module, each in times.items()}
    for module, seconds in medians.items():
        print(f"import {module:<16} {seconds * 1000:7.1f} ms (median of {RUNS})")
    ratio = medians["function_app"] / medians["azure.functions"]
    print(f"ratio {ratio:.2f} (budget {MAX_RATIO}) {verdict(within=ratio <= MAX_RATIO)}")


if __name__ == "__main__":
    main()
