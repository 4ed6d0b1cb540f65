"""`python -m local demo`, as the README tells people to run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.support import ROOT

pytestmark = pytest.mark.e2e

SUMMARY = re.compile(
    r"demo: (\d+) images labelled, (\d+) new, (\d+) scored, (\d+) errors, mAP (\d\.\d{3}), micro-F1 (\d\.\d{3})"
)


def run_demo(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local", "demo", *arguments]
    environment = {**os.environ, **settings}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_the_demo_runs_the_whole_loop_and_ends_with_its_figures(tmp_path: Path, sample_folder: Path) -> None:
    state = tmp_path / "state"
    done = run_demo("--data", str(sample_folder), "--state", str(state), INLINE_MAX_IMAGES="16")
    assert done.returncode == 0, done.stdout + done.stderr
    match = SUMMARY.fullmatch(done.stdout.strip().splitlines()[-1])
    assert match, done.stdout
    labelled, new, scored, errors = (int(match[group]) for group in range(1, 5))
    assert labelled + new == 90
    assert (scored, errors) == (new, 0)
    # A constant answer has a mAP of about 0.24 here, a colour histogram one of about 0.35.
    assert float(match[5]) > 0.5
    assert "by job score-" in done.stdout
    listing = subprocess.run(["ps", "-eo", "args="], check=True, capture_output=True, text=True).stdout
    assert str(state) not in listing


def test_a_demo_without_usable_data_says_why(tmp_path: Path) -> None:
    done = run_demo("--data", str(tmp_path / "nowhere"), "--state", str(tmp_path / "state"))
    assert done.returncode == 1
    assert "labels.jsonl does not exist" in done.stderr
