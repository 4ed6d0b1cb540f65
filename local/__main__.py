"""`python -m local run | demo | reset`: the whole product on this machine."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
from pathlib import Path

from local.stack import ROOT, Stack, StackError, delete_state

STATE = ROOT / ".local" / "state"
ENVIRONMENT = ROOT / ".local" / "env"
PLAIN = re.compile(r"[\w.:/?=@%+,-]*")


def run(arguments: argparse.Namespace) -> int:
    """Start the stack and keep it until Ctrl-C or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Stack(arguments.state) as stack:
        environment = stack.environment()
        _write_private(arguments.env, "".join(f"{name}={_quoted(value)}\n" for name, value in environment.items()))
        for name in ("FUNCTIONS_URL", "FUNCTIONS_KEY", "ARM_URL"):
            print(f"{name:<14} {environment[name]}")
        print(f"{'state':<14} {arguments.state}")
        print(f"{'logs':<14} {stack.config.logs}")
        print(f"{'environment':<14} {arguments.env}  (set -a; . {arguments.env}; set +a)")
        print("ready; Ctrl-C stops all of it", flush=True)
        ended.wait()
        print("stopping", flush=True)
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Run the whole loop once, on a fresh stack."""
    from local.demo.run import run_demo

    return run_demo(arguments.data, arguments.state)


def reset(arguments: argparse.Namespace) -> int:
    """Delete a stack's state."""
    deleted = delete_state(arguments.state)
    print(f"deleted {arguments.state}" if deleted else f"there is no state in {arguments.state}")
    return 0


def _quoted(value: str) -> str:
    """A dotenv value that shells and dotenv libraries read alike: in quotes where a shell needs them, else as it is."""
    return value if PLAIN.fullmatch(value) else f"'{value}'"


def _write_private(path: Path, content: str) -> None:
    """Write a file that only its owner may read: it holds keys, if only local ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m local", description="LabelLoop on this machine, without Azure.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, function, about in (
        ("run", run, "start the local cloud and the app, and keep them"),
        ("demo", demo, "run the whole loop once: labels, training, model, images, CSV"),
        ("reset", reset, "delete the state that `run` keeps"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(function=function)
        default = STATE if name != "demo" else ROOT / ".local" / "demo"
        command.add_argument("--state", type=Path, default=default, help="folder of all state")
        if name == "run":
            command.add_argument("--env", type=Path, default=ENVIRONMENT, help="dotenv file to write")
        if name == "demo":
            command.add_argument("--data", type=Path, help="folder with images/ and labels.jsonl")
    arguments = parser.parse_args(given)
    try:
        return int(arguments.function(arguments))
    except StackError as error:
        print(f"local: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
