"""`python -m local.functions_host --app DIR --port N --keys FILE [--host-id ID]`: run a function app here."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from pathlib import Path

from local.functions_host.errors import StartupError
from local.functions_host.host import Host, HostConfig, default_host_id

# What a queue name leaves of 63 characters, and what the real host allows.
_HOST_ID = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){0,31}")


def parse_arguments(arguments: list[str] | None = None) -> HostConfig:
    """Read the command line; ends the process with a message when it is not right."""
    parser = argparse.ArgumentParser(prog="python -m local.functions_host", description=__doc__)
    parser.add_argument("--app", type=Path, required=True, metavar="DIR", help="folder with host.json, function_app.py")
    parser.add_argument("--port", type=int, required=True, metavar="N", help="HTTP port on 127.0.0.1; 0: any free one")
    parser.add_argument("--keys", type=Path, required=True, metavar="FILE", help="host keys (JSON), made if missing")
    parser.add_argument("--host-id", metavar="ID", help="names this app's state in storage; default: from the folder")
    parser.add_argument(
        "--message-lease",
        type=float,
        default=HostConfig.message_lease,
        metavar="SECONDS",
        help="how long a crashed host's queue messages stay invisible (default: %(default)s)",
    )
    parser.add_argument(
        "--response-timeout",
        type=float,
        default=HostConfig.response_timeout,
        metavar="SECONDS",
        help="after which an HTTP request is answered 504 (default: %(default)s, as in Azure)",
    )
    options = parser.parse_args(arguments)
    app = options.app.resolve()
    host_id = options.host_id or default_host_id(app)
    if not app.is_dir():
        parser.error(f"--app: {app} is not a folder")
    if not _HOST_ID.fullmatch(host_id):
        parser.error("--host-id: up to 32 lower-case letters, digits and single dashes")
    if options.message_lease < 1:
        parser.error("--message-lease: at least 1 second")
    return HostConfig(
        app=app,
        port=options.port,
        keys=options.keys.resolve(),
        host_id=host_id,
        message_lease=options.message_lease,
        response_timeout=options.response_timeout,
    )


async def _serve(host: Host) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    port = await host.start()
    for line in host.describe():
        print(line)
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    await stopping.wait()
    await host.stop()


def main() -> int:
    config = parse_arguments()
    # `-m` put the folder it was started in on the path; the app must find its own modules only.
    if sys.path[0] != str(config.app):
        del sys.path[0]
    host = Host(config)
    try:
        host.load()
        asyncio.run(_serve(host))
    except StartupError as error:
        print(f"The function app cannot start.\n{error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    # A function that is left behind in its thread must not keep the process.
    os._exit(code)
