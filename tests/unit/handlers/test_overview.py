"""The overview over HTTP, on real storage."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from handlers.routes.overview import label_counts, summary
from shared import datasets, overview
from shared.clients import Clients
from shared.datasets import Findings
from shared.ledger import Ledger
from shared.results import write_files
from tests.contract.storage.scored import FAILED, Account, image
from tests.support import make_clients, promote_bundle
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function

ask_summary, ask_counts = user_function(summary), user_function(label_counts)


def closed(storage: str) -> None:
    """A batch of two images, one of which failed, ends now."""
    account = Account(storage, prediction_formats="csv")
    now = Ledger(account.clients.tables).now().replace(microsecond=0)
    batch = account.batch([image("a.jpg"), image("b.jpg")], {"a.jpg": {}, "b.jpg": FAILED}, created=now)
    collected = write_files(account.clients, batch, job_error="")
    counts = {"predicted": collected.tally.predicted, "errors": collected.tally.failed}
    account.ledger.close_batch(account.ledger.advance(batch, files=collected.paths, **counts))


def test_the_overview_tells_the_loops_stations(clients: Clients, storage: str, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    work = clients.settings.work_container
    datasets.write_report(clients.blobs, work, datasets.make_report("c/x.jsonl", Findings(), state="refused"))
    closed(storage)
    waiting = image("w.jpg")
    Ledger(clients.tables).record_arrival(waiting, lambda: waiting.etag)
    told = body_of(ask_summary(request()))
    assert told["export"]["state"] == "refused"
    assert told["training"] is None
    assert told["champion"]["version"] == "1"
    counts = {"waiting": 1, "waiting_more": False, "batched": 0, "scored_today": 1, "failed_today": 1}
    assert told["images"] == counts
    (files,) = told["files"]
    assert (files["images"], files["errors"], len(files["files"])) == (2, 1, 1)
    assert told["review"] == {"corrections": 0, "unexported": 0}
    assert [each["severity"] for each in told["attention"]] == ["error", "warning"]


def test_before_provisioning_the_overview_says_so(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(make_clients(storage), monkeypatch)
    told = body_of(ask_summary(request()))
    assert "not provisioned" in told["attention"][0]["text"]
    assert (told["export"], told["champion"], told["files"]) == (None, None, [])


def test_the_overview_is_not_made_anew_for_each_who_looks(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    first = overview.recent_overview(clients)
    assert overview.recent_overview(clients) is first
    monkeypatch.setattr(overview, "FRESH_SECONDS", 0)
    assert overview.recent_overview(clients) is not first


def test_labels_are_counted_by_day(clients: Clients, storage: str) -> None:
    closed(storage)
    told = body_of(ask_counts(request(params={"days": "3"})))
    assert told["complete"]
    assert [each["images"] for each in told["days"]] == [0, 0, 2]
    assert [each["date"] for each in told["days"]] == sorted(each["date"] for each in told["days"])
    assert (told["days"][2]["errors"], told["days"][2]["labels"]) == (1, {"red": 1})


def test_more_batches_than_one_answer_may_read_are_counted_by_the_next(
    clients: Clients, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared import label_counts as counting

    account = Account(storage, prediction_formats="csv")
    now = Ledger(clients.tables).now().replace(microsecond=0)
    for number in range(3):
        account.done([image(f"{number}.jpg")], {f"{number}.jpg": {}}, created=now - dt.timedelta(seconds=number))
    monkeypatch.setattr(counting, "MAX_READ", 2)
    first, second = (counting.count_labels(clients, 2) for _ in range(2))
    assert (first["complete"], first["days"][-1]["labels"]) == (False, {"red": 2})
    assert (second["complete"], second["days"][-1]["labels"]) == (True, {"red": 3})


def test_days_are_bounded(clients: Clients) -> None:
    assert ask_counts(request(params={"days": "9999"})).status_code == 400
