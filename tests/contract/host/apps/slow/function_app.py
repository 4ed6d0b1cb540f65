"""Functions that take as long as the test wants: they wait for the file $RELEASE."""

import json
import os
import time
from pathlib import Path

import azure.functions as func

app = func.FunctionApp()


def note(function: str, step: str) -> None:
    with Path(os.environ["JOURNAL"]).open("a", encoding="utf-8") as journal:
        journal.write(json.dumps({"function": function, "step": step}) + "\n")


def work(function: str) -> None:
    note(function, "started")
    deadline = time.monotonic() + 60
    while not Path(os.environ["RELEASE"]).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    note(function, "done")


@app.queue_trigger(arg_name="message", queue_name="work", connection="AzureWebJobsStorage")
def on_message(message: func.QueueMessage) -> None:
    work("on_message")


@app.blob_trigger(arg_name="blob", path="images", connection="AzureWebJobsStorage", source=func.BlobSource.EVENT_GRID)
def on_blob(blob: func.InputStream) -> None:
    work("on_blob")


@app.route(route="wait", auth_level=func.AuthLevel.ANONYMOUS)
def wait(req: func.HttpRequest) -> str:
    work("wait")
    return "waited"
