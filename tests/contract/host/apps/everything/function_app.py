"""One function for each thing the host can do. What they see goes to the file $JOURNAL, one JSON object a line."""

import asyncio
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import azure.functions as func

app = func.FunctionApp()
barrier = threading.Barrier(2)
arrived: list[str] = []


def note(function: str, **seen: Any) -> None:
    line = json.dumps({"function": function, **seen}) + "\n"
    with Path(os.environ["JOURNAL"]).open("a", encoding="utf-8") as journal:
        journal.write(line)


@app.route(route="echo", auth_level=func.AuthLevel.ANONYMOUS)
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "body": req.get_body().hex(),
        "query": dict(req.params),
        "header": req.headers.get("X-Sample"),
        "url": req.url,
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json", status_code=201)


@app.route(route="bytes", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
def give_bytes(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body(), mimetype="image/jpeg")


@app.route(route="items/{id:int}/{*rest}", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
def items(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(dict(req.route_params)))


@app.route(route="cookies", auth_level=func.AuthLevel.ANONYMOUS)
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("", headers={"X-One": "1"})
    response.headers.add("Set-Cookie", "first=1; Path=/x; Secure")
    response.headers.add("Set-Cookie", "second=2; HttpOnly; SameSite=Strict")
    return response


@app.route(route="with-key", auth_level=func.AuthLevel.FUNCTION)
def with_key(req: func.HttpRequest) -> str:
    return "opened"


@app.route(route="with-master", auth_level=func.AuthLevel.ADMIN)
def with_master(req: func.HttpRequest) -> str:
    return "opened"


@app.route(route="fail", auth_level=func.AuthLevel.ANONYMOUS)
def fail(req: func.HttpRequest) -> str:
    raise RuntimeError("this is what went wrong")


@app.route(route="talk", auth_level=func.AuthLevel.ANONYMOUS)
def talk(req: func.HttpRequest) -> str:
    print("said by print")
    logging.getLogger("sample").warning("said by logging")
    return "ok"


@app.route(route="meet", auth_level=func.AuthLevel.ANONYMOUS)
def meet(req: func.HttpRequest) -> str:
    barrier.wait(timeout=20)
    return "met"


@app.route(route="meet-async", auth_level=func.AuthLevel.ANONYMOUS)
async def meet_async(req: func.HttpRequest) -> str:
    arrived.append("one")
    async with asyncio.timeout(20):
        while len(arrived) < 2:  # noqa: ASYNC110 - an event would belong to one loop, this is importable without
            await asyncio.sleep(0.01)
    return "met"


@app.route(route="enqueue", auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="message", queue_name="%SAMPLE_QUEUE%", connection="DATA")
def enqueue(req: func.HttpRequest, message: func.Out[str]) -> str:
    message.set(req.get_body().decode())
    return "queued"


@app.queue_trigger(arg_name="message", queue_name="%SAMPLE_QUEUE%", connection="DATA")
def on_message(message: func.QueueMessage) -> None:
    body = message.get_body().decode()
    inserted = message.insertion_time
    note(
        "on_message",
        body=body,
        id=message.id,
        dequeue_count=message.dequeue_count,
        inserted=None if inserted is None else inserted.isoformat(),
    )
    if body.startswith("bad"):
        raise ValueError("a bad message")


@app.queue_trigger(arg_name="message", queue_name="binary", connection="DATA", data_type=func.DataType.BINARY)
def on_binary(message: func.QueueMessage) -> None:
    note("on_binary", body=message.get_body().hex())


@app.blob_trigger(
    arg_name="blob", path="images/{folder}/{name}.jpg", connection="DATA", source=func.BlobSource.EVENT_GRID
)
def on_blob(blob: func.InputStream) -> None:
    given: Any = blob  # its type does not say all that it has
    content = given.read()
    note(
        "on_blob",
        name=given.name,
        uri=given.uri,
        length=given.length,
        content=content.hex(),
        properties=given.blob_properties,
        metadata=given.metadata,
    )
    if content == b"bad":
        raise ValueError("a bad blob")


@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent) -> None:
    data = event.get_json()
    note("on_event", id=event.id, type=event.event_type, data=data)
    if data.get("bad"):
        raise ValueError("a bad event")


@app.event_grid_trigger(arg_name="event")
def on_cloud_event(event: func.CloudEvent) -> None:
    note("on_cloud_event", id=event.id, type=event.type)


@app.timer_trigger(arg_name="timer", schedule="* * * * * *", run_on_startup=True)
def each_second(timer: func.TimerRequest) -> None:
    given: Any = timer
    started = time.time()
    time.sleep(1.3)
    note("each_second", started=started, ended=time.time(), past_due=given.past_due, status=given.schedule_status)


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def each_year(timer: func.TimerRequest) -> None:
    given: Any = timer
    note("each_year", past_due=given.past_due, status=given.schedule_status)
