"""`python -m local.sample --out FOLDER [--count 150] [--seed 1]`: make the sample images and their labels."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from local.sample.sample_set import make_sample_set


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.sample", description="Make sample images with labels.")
    parser.add_argument("--out", type=Path, required=True, help="folder for images/ and labels.jsonl")
    parser.add_argument("--count", type=int, default=150, help="how many images")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same images")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        make_sample_set(options.out, options.count, options.seed)
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.write(f"{options.count} images in {options.out} after {time.monotonic() - started:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
