"""The named points at which a worker may die: its steps from an image's arrival to the announcement of its prediction.

A point is a request, known to the local cloud by these rules. Who dies there dies before the request is carried out;
with `AFTER`, before the answer comes. To die after a write is, on storage, the same as to die before the next one, so
`AFTER` is named only where the next point is another worker's.

| part | before it is done | what another worker finds |
|---|---|---|
| arrival | check: the blob is looked at | nothing |
| | convert: `prepared/<hash>.jpg` is written | nothing |
| | note: record and waiting marker are written | a converted image that nobody knows |
| | reject: the rejection's announcement is queued | an image that waits with its reason |
| dispatch | lease: `locks/dispatch` is taken | a lease that nobody renews |
| | open: the batch's row is written | images that wait |
| | claim: images go from waiting to batched | an open batch without images |
| | fence: the batch's gates are closed | an open batch with images |
| | manifest: a shard is written | a batch that takes no more images |
| | known: the batch's row tells its folder | a manifest that nobody knows |
| score | part: a shard's outcomes are written (in the app) | a batch with its manifest |
| submit | asked: the job is put to Azure ML | a batch with its manifest |
| | answered: … and its answer is lost | a job that no batch knows |
| | noted: the batch's row tells its job | the same |
| collect | told: a job's end is queued | a submitted batch whose job has ended |
| | sealed: a shard's results are written | parts |
| | CSV, JSON Lines, Parquet, summary: each is written | results, and the files before it |
| | files: the batch's row tells its files | files that nobody knows |
| | settled: the images' records tell their ends | a batch whose images are batched |
| | closed: the batch's row goes to the done ones | a batch without images, that was announced |
| announce | queued: the announcement is queued | a batch without images |
| | published: it is sent to the topic | its message |
| | answered: … and the answer is lost | the same: it is sent again, with the same id |
"""

from __future__ import annotations

from typing import Any

AFTER: dict[str, Any] = {"after": True}


def blob(operation: str, path: str) -> dict[str, Any]:
    return {"service": "blob", "operation": operation, "path": path}


def queued(queue: str) -> dict[str, Any]:
    return {"service": "queue", "operation": "PutMessage", "path": f"*/{queue}/messages"}


def row(*columns: str) -> dict[str, Any]:
    """A transaction with rows that have these columns, as they stand in JSON."""
    return {"service": "table", "operation": "EntityGroupTransaction", "content": "*".join(["", *columns, ""])}


JOB: dict[str, Any] = {"service": "arm", "operation": "PUT", "path": "*/jobs/score-*"}
TOPIC: dict[str, Any] = {"service": "arm", "operation": "POST", "path": "*/api/events"}
POINTS: dict[str, dict[str, Any]] = {
    "arrival: check": blob("GetBlobProperties", "*/images/*"),
    "arrival: convert": blob("PutBlob", "*/prepared/*"),
    "arrival: note": row('"arrived": '),
    "arrival: reject": queued("announcements"),
    "dispatch: lease": {**blob("LeaseBlob", "*/locks/dispatch"), **AFTER},
    "dispatch: open": row('"state": "claiming"'),
    "dispatch: claim": row('"state": "batched"'),
    "dispatch: fence": row('"closed": true'),
    "dispatch: manifest": blob("PutBlob", "*/manifest/shard-*"),
    "dispatch: known": row('"state": "claimed"'),
    "score: part": blob("PutBlob", "*/parts/*"),
    "submit: asked": JOB,
    "submit: answered": {**JOB, **AFTER},
    "submit: noted": row('"state": "submitted"'),
    "collect: told": queued("job-events"),
    "collect: sealed": blob("PutBlob", "*/results/shard-*"),
    "collect: CSV": blob("PutBlob", "*/predictions/*.csv"),
    "collect: JSON Lines": blob("PutBlob", "*/predictions/*.jsonl"),
    "collect: Parquet": blob("PutBlob", "*/predictions/*.parquet"),
    "collect: summary": blob("PutBlob", "*/predictions/*_batch.json"),
    "collect: files": row('"files": ', ".csv"),
    "collect: settled": row('"state": "scored"'),
    "collect: closed": row('"state": "done"'),
    # The first message is a rejection's, since every drop has a file that is no image.
    "announce: queued": {**queued("announcements"), "skip": 1},
    "announce: published": TOPIC,
    "announce: answered": {**TOPIC, **AFTER},
}
