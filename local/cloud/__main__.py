"""`python -m local.cloud --state DIR`: run the local cloud of the stack in DIR until SIGTERM or SIGINT.

`python -m local.cloud --coverage`: print the table of operations it serves, in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from pathlib import Path

from local.cloud.app import make_cloud
from local.cloud.coverage import coverage_table
from local.config import StackConfig


async def serve(config: StackConfig) -> None:
    """Run a cloud until a signal asks it to end."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    cloud = make_cloud(config)
    try:
        await cloud.start()
        logging.getLogger("local.cloud").info("Listening on %s", config.arm_url)
        await ended.wait()
    finally:
        await cloud.close()


async def coverage() -> str:
    """The coverage table, from the routes of a cloud that is never started."""
    with tempfile.TemporaryDirectory() as folder:
        cloud = make_cloud(StackConfig.load_or_create(Path(folder)))
        try:
            return coverage_table(cloud.route_groups())
        finally:
            await cloud.close()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--state", type=Path, help="the folder of the stack, with its stack.json")
    what.add_argument("--coverage", action="store_true", help="print the table of operations")
    options = parser.parse_args(arguments)
    if options.coverage:
        sys.stdout.write(asyncio.run(coverage()))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The blob client logs every request at INFO.
    logging.getLogger("azure").setLevel(logging.WARNING)
    asyncio.run(serve(StackConfig.load(options.state)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
