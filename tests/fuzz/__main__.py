"""`python -m tests.fuzz [--count 20000] [--seed 0] [folder of images …]`: what comes of damaged images.

A child takes them in, in a thread as the Functions worker does, with limits of an instance; this process watches it: an
image that ends the child, keeps it busy for too long or raises anything but ImageRejectedError is a finding, and so is
memory beyond 1 GB. Findings are written to the folder `fuzz-findings`. Exit code 1 when there are any.
"""

from __future__ import annotations

import argparse
import collections
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ADDRESS_SPACE = 4_000_000_000
MEMORY_LIMIT = 1_000_000_000
SECONDS_PER_IMAGE = 20.0
FINDINGS = Path("fuzz-findings")
MEGAPIXELS = 100


def cases(seed: int, count: int, folders: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Names and contents, the same for the same seed."""
    from tests.fuzz.mutations import mutated
    from tests.fuzz.samples import samples

    files = dict(samples())
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        files |= {f"FILE {path.name}": path.read_bytes() for path in found}
    names, contents = list(files), list(files.values())
    generated = [name for name in names if not name.startswith("FILE")]
    for number in range(count):
        dice = random.Random(f"{seed} {number}")  # noqa: S311
        name = dice.choice(generated if dice.random() < 0.8 else names)
        yield name, mutated(files[name], contents, dice)


def child(seed: int, start: int, count: int, folders: list[Path]) -> None:
    """Take in the cases from `start` on; a line before each, and one after it."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    from shared.errors import ImageRejectedError
    from shared.images import check_image

    for number, (name, content) in enumerate(cases(seed, count, folders)):
        if number < start:
            continue
        print("start", number, name.partition(" ")[0], flush=True)
        began = time.perf_counter()
        try:
            checked = check_image(content, max_megapixels=MEGAPIXELS)
            outcome = "as it is" if checked.prepared is None else "converted"
        except ImageRejectedError as error:
            outcome = "damaged" if "damaged" in str(error) else "refused"
        except Exception as error:
            outcome = f"raised {type(error).__name__}: {error}".replace("\n", " ")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print("end", number, peak, f"{time.perf_counter() - began:.3f}", outcome, flush=True)


class Watch:
    """One child after another, until all cases are through."""

    def __init__(self, seed: int, count: int, folders: list[Path]) -> None:
        self._seed, self._count, self._folders = seed, count, folders
        self.outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.findings: dict[int, str] = {}
        self.slowest, self.peak = (0.0, -1), 0

    def run(self) -> None:
        done = 0
        while done < self._count:
            done = self._run_child(done)

    def _run_child(self, start: int) -> int:
        """Returns the first case that is still to be done."""
        command = [sys.executable, "-m", "tests.fuzz", "--count", str(self._count), "--seed", str(self._seed)]
        command += ["--child", str(start), *map(str, self._folders)]
        current, kind, began = start - 1, "", time.monotonic()
        # libtiff tells there what it finds wrong.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

        def watch() -> None:
            while process.poll() is None:
                if time.monotonic() - began > SECONDS_PER_IMAGE + (60 if not kind else 0):
                    process.kill()
                time.sleep(0.5)

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert process.stdout is not None
        open_case = False
        for line in process.stdout:
            word, number, *rest = line.rstrip("\n").split(" ", 4)
            began, current = time.monotonic(), int(number)
            open_case = word == "start"
            if open_case:
                kind = rest[0]
                continue
            peak, seconds, outcome = int(rest[0]), float(rest[1]), rest[2]
            self.slowest = max(self.slowest, (seconds, current))
            if peak > self.peak:
                self.peak = peak
                if peak > MEMORY_LIMIT:
                    self.findings[current] = f"{peak / 1e6:.0f} MB"
            self.outcomes[kind][outcome.partition(":")[0]] += 1
            if outcome.startswith("raised"):
                self.findings[current] = outcome
        code = process.wait()
        watcher.join()
        if open_case:
            self.findings[current] = f"the process ended with {code}, after {time.monotonic() - began:.0f} s"
            self.outcomes[kind]["killed"] += 1
        elif current < self._count - 1:
            raise SystemExit(f"the child ended with {code} between two images")
        return current + 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.seed, given.child, given.count, given.folders)
        return 0
    watch = Watch(given.seed, given.count, given.folders)
    watch.run()
    for kind, counts in sorted(watch.outcomes.items()):
        print(f"{kind:10}", ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common()))
    total = sum(sum(counts.values()) for counts in watch.outcomes.values())
    print(f"{total} images; at most {watch.peak / 1e6:.0f} MB; the slowest took {watch.slowest[0]:.1f} s")
    for number, what in sorted(watch.findings.items()):
        FINDINGS.mkdir(exist_ok=True)
        for index, (name, content) in enumerate(cases(given.seed, number + 1, given.folders)):
            if index == number:
                path = FINDINGS / f"{given.seed}-{number}"
                path.write_bytes(content)
                print(f"{path}: {name}: {what}")
    return 1 if watch.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
