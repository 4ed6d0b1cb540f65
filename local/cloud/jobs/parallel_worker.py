"""A worker process of a parallel node; started by parallel_driver.py. Standard library alone, imports nothing of ours.

`python parallel_worker.py TASKS_FD REPLIES_FD CODE_FOLDER ENTRY_SCRIPT ARGUMENT…`: loads the entry script, calls
`init()`, then `run(files)` for each line of files it reads, and `shutdown()` at the end, if the script has one.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any


def load(code: Path, entry_script: str, arguments: list[str]) -> ModuleType:
    """Import the entry script as Azure ML does: from the code folder, with its arguments in sys.argv."""
    path = code / entry_script
    # The interpreter put this file's folder first; the entry script must find its own neighbours, not ours.
    sys.path[0] = str(path.parent)
    if path.parent != code:
        sys.path.insert(1, str(code))
    sys.argv = [str(path), *arguments]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def rows_of(result: Any) -> list[str]:
    """The rows of what run() returned: a list, or a pandas DataFrame. Raises TypeError for anything else."""
    if hasattr(result, "to_csv"):
        return str(result.to_csv(header=False, index=False, sep=" ")).splitlines()
    if isinstance(result, list | tuple):
        return [str(row) for row in result]
    raise TypeError(f"run() must return a list or a DataFrame, not {type(result).__name__}")


def main(tasks_fd: int, replies_fd: int, code: str, entry_script: str, arguments: list[str]) -> int:
    with os.fdopen(tasks_fd, "r", encoding="utf-8") as tasks, os.fdopen(replies_fd, "w", encoding="utf-8") as replies:

        def reply(**values: Any) -> None:
            replies.write(json.dumps(values) + "\n")
            replies.flush()

        def failed() -> None:
            traceback.print_exc()
            reply(ok=False, error=traceback.format_exc(limit=-3))

        try:
            # As there, what a script logs from INFO up goes to its standard output.
            logging.basicConfig(level=logging.INFO, stream=sys.stdout)
            module = load(Path(code), entry_script, arguments)
            if hasattr(module, "init"):
                module.init()
        # A user's script may raise anything; whatever it is goes to the driver and the log.
        except Exception:
            failed()
            return 1
        reply(ok=True)
        for line in tasks:
            try:
                rows = rows_of(module.run(json.loads(line)))
            except Exception:
                failed()
            else:
                reply(ok=True, rows=rows)
        if hasattr(module, "shutdown"):
            module.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:]))
