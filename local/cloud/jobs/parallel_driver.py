"""The driver of a parallel node: `python parallel_driver.py CONFIG.json`. Standard library alone.

Semantics of Azure ML's parallel run step (learn.microsoft.com, "How to use parallel job in pipeline"): the files of the
input are cut into mini-batches; each worker process calls the entry script's `init()` once and `run(mini_batch)` for
each; a mini-batch that fails, crashes its worker, takes too long or returns less than it was given is tried again from
its beginning; the job fails when more mini-batches fail than the threshold allows (-1: any number may). A lost node
takes its workers with it; others do again what these had ("Will node failure impact the job result?" in
"Troubleshooting the ParallelRunStep"), and a try that it took counts (azure-ai-ml, `RetrySettings`: the dequeue count).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Loading a model may take long; a worker that is not ready after this time is given up.
INIT_SECONDS = 600.0
INIT_TRIES = 2
ROWS_FILE = "parallel_run_step.txt"


class AbortedError(Exception):
    """The job cannot succeed any more."""


class WorkerFailedError(Exception):
    """A worker crashed, or was too slow."""


@dataclass(frozen=True)
class Settings:
    """The node's settings; times in seconds."""

    code: str
    entry_script: str
    input: str
    arguments: list[str]
    mini_batch_size: int
    workers: int
    max_retries: int
    timeout: float
    error_threshold: int
    rows_folder: str | None
    lost_nodes: int = 0
    """So many times a worker is killed in the middle of a mini-batch, `lost_after` seconds after it got it."""
    lost_after: float = 0.0


class Worker:
    """One worker process, spoken to in JSON lines over two pipes of its own, so that scripts may print."""

    def __init__(self, settings: Settings, number: int) -> None:
        tasks_read, self._tasks = os.pipe()
        self._replies, replies_write = os.pipe()
        script = str(Path(__file__).with_name("parallel_worker.py"))
        self._process = subprocess.Popen(
            [
                sys.executable,
                script,
                str(tasks_read),
                str(replies_write),
                settings.code,
                settings.entry_script,
                *settings.arguments,
            ],
            pass_fds=(tasks_read, replies_write),
            stdin=subprocess.DEVNULL,
            cwd=settings.code,
            env={**os.environ, "AZ_BATCH_NODE_ID": "local", "AZUREML_PROCESS_NUMBER": str(number)},
        )
        os.close(tasks_read)
        os.close(replies_write)
        self._buffer = b""

    def answers_within(self, seconds: float) -> bool:
        """Whether an answer, or the worker's end, is there by then."""
        return bool(self._buffer) or bool(select.select([self._replies], [], [], seconds)[0])

    def receive(self, timeout: float) -> dict[str, Any]:
        """Raises WorkerFailedError when no whole line came in time, or the worker ended."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._replies], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise WorkerFailedError(f"no answer within {timeout:g} s")
            data = os.read(self._replies, 65536)
            if not data:
                raise WorkerFailedError(f"the worker ended with exit code {self._process.wait()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def send(self, files: list[str]) -> None:
        try:
            os.write(self._tasks, json.dumps(files).encode() + b"\n")
        except BrokenPipeError as error:
            raise WorkerFailedError("the worker has ended") from error

    def finish(self, timeout: float = 60.0) -> None:
        """Let the worker call its script's shutdown() and end."""
        os.close(self._tasks)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        self.kill(close_tasks=False)

    def kill(self, *, close_tasks: bool = True) -> None:
        if close_tasks:
            os.close(self._tasks)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._replies)


class Driver:
    """Hands out mini-batches and keeps count."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._failed: list[int] = []
        self._done = 0
        self._nodes_to_lose = settings.lost_nodes
        self._aborted: str | None = None
        self._batches: queue.SimpleQueue[tuple[int, list[str]]] = queue.SimpleQueue()

    def run(self) -> int:
        """The exit code."""
        root = Path(self._settings.input)
        files = sorted(str(f) for f in ([root] if root.is_file() else root.rglob("*")) if f.is_file())
        size = self._settings.mini_batch_size
        batches = [files[start : start + size] for start in range(0, len(files), size)]
        for item in enumerate(batches):
            self._batches.put(item)
        workers = max(1, min(self._settings.workers, len(batches)))
        print(f"{len(files)} files in {len(batches)} mini-batches for {workers} workers", flush=True)
        if self._settings.rows_folder is not None:
            folder = Path(self._settings.rows_folder)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ROWS_FILE).write_text("")
        threads = [threading.Thread(target=self._serve, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._aborted is not None:
            print(f"The parallel job was given up: {self._aborted}", file=sys.stderr, flush=True)
            return 1
        if self._done + len(self._failed) < len(batches):
            # A thread of this driver has died; what it says is above.
            print(f"{self._done} of {len(batches)} mini-batches done, {len(self._failed)} failed", file=sys.stderr)
            return 1
        print(f"{self._done} mini-batches done, {len(self._failed)} failed", flush=True)
        return 0

    def _serve(self, number: int) -> None:
        worker: Worker | None = None
        try:
            while self._aborted is None:
                try:
                    index, files = self._batches.get_nowait()
                except queue.Empty:
                    break
                worker = self._one(worker, number, index, files)
            if worker is not None:
                worker.finish()
        except AbortedError as error:
            self._aborted = str(error)

    def _one(self, worker: Worker | None, number: int, index: int, files: list[str]) -> Worker | None:
        """Try one mini-batch until it succeeds or its retries are used up; answer the living worker, if any."""
        problem = ""
        for attempt in range(self._settings.max_retries + 1):
            worker = worker or self._started(number)
            try:
                worker.send(files)
                self._lose_node(worker)
                reply = worker.receive(self._settings.timeout)
            except WorkerFailedError as error:
                worker.kill()
                worker, problem = None, str(error)
            else:
                if reply["ok"] and len(reply["rows"]) < len(files):
                    reply = {"ok": False, "error": f"run() returned {len(reply['rows'])} rows for {len(files)} files"}
                if reply["ok"]:
                    self._succeeded(reply["rows"])
                    return worker
                problem = reply["error"]
            print(f"Mini-batch {index}, try {attempt + 1}: {problem}", file=sys.stderr, flush=True)
        self._gave_up(index, problem)
        return worker

    def _lose_node(self, worker: Worker) -> None:
        """Raise WorkerFailedError for a worker that is in the middle of its mini-batch, if a node is to be lost."""
        if not self._nodes_to_lose or worker.answers_within(self._settings.lost_after):
            return
        with self._lock:
            if not self._nodes_to_lose:
                return
            self._nodes_to_lose -= 1
        raise WorkerFailedError("its node was lost, by fault")

    def _started(self, number: int) -> Worker:
        """A worker whose init() has returned. Raises AbortedError when that does not come about."""
        problem = ""
        for _ in range(INIT_TRIES):
            worker = Worker(self._settings, number)
            try:
                reply = worker.receive(INIT_SECONDS)
            except WorkerFailedError as error:
                problem = str(error)
            else:
                if reply["ok"]:
                    return worker
                problem = reply["error"]
            worker.kill()
        raise AbortedError(f"init() failed: {problem}")

    def _succeeded(self, rows: list[str]) -> None:
        with self._lock:
            self._done += 1
            if self._settings.rows_folder is not None:
                with (Path(self._settings.rows_folder) / ROWS_FILE).open("a", encoding="utf-8") as file:
                    file.writelines(f"{row}\n" for row in rows)

    def _gave_up(self, index: int, problem: str) -> None:
        with self._lock:
            self._failed.append(index)
            threshold = self._settings.error_threshold
            if threshold >= 0 and len(self._failed) > threshold:
                self._aborted = (
                    f"{len(self._failed)} mini-batches failed, {threshold} may; the last was {index}: {problem}"
                )


if __name__ == "__main__":
    sys.exit(Driver(Settings(**json.loads(Path(sys.argv[1]).read_text()))).run())
