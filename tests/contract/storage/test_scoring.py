"""Scoring a manifest shard into its part, on real storage."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.score_images.entry import Scorer
from shared import scoring
from shared.clients import Clients
from shared.errors import ImageRejectedError, ImageUnavailableError
from shared.inference import Classifier, Prediction, Source
from shared.manifests import ManifestRow, part_path, read_lines, read_manifest
from shared.scoring import Outcome, Part, score_part
from tests.support import drop_image, make_clients, plain_jpeg, prepare_storage, write_bundle

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PART = "batches/b/parts/shard-00000.jsonl"


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage)
    prepare_storage(clients)
    return clients


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model"))


def row(path: str, etag: str = "", error: str = "") -> ManifestRow:
    return ManifestRow(f"k:{path}", path, "images", path, etag, error=error)


def outcomes(clients: Clients, path: str = PART) -> dict[str, Outcome]:
    """What a part says, each image once."""
    content = clients.blobs.get_blob_client("labelloop", path).download_blob().readall().decode()
    lines = [Outcome.from_json(line) for line in read_lines(content)]
    found = {each.key: each for each in lines}
    assert len(found) == len(lines)
    return found


class Moody(Classifier):
    """A classifier that can be made to find images unavailable, by their place in the shard, or to break down."""

    unavailable = frozenset[int]()
    breaks_at = -1
    calls = 0

    def predict(self, images: Iterable[bytes | ImageRejectedError | Source]) -> Iterator[Prediction]:
        for place, prediction in enumerate(super().predict(images)):
            if place == self.breaks_at:
                raise RuntimeError("the node is out of order")
            self.calls += 1
            yield Prediction(error="storage is busy", retry=True) if place in self.unavailable else prediction


@pytest.fixture
def moody(bundle: Path) -> Moody:
    return Moody.load(bundle)  # type: ignore[return-value] # a classmethod of the base


def drop_colours(clients: Clients, count: int) -> list[ManifestRow]:
    colours = (RED, GREEN, BLUE)
    return [
        row(f"{number}.jpg", drop_image(clients, f"{number}.jpg", plain_jpeg(colours[number % 3])))
        for number in range(count)
    ]


def test_a_shard_becomes_a_part_with_one_outcome_for_each_row(clients: Clients, bundle: Path) -> None:
    rows = drop_colours(clients, 20)
    drop_image(clients, "text.jpg", b"no image")
    replaced = row("0.jpg", "0x8DOTHER")
    rows += [row("text.jpg"), row("gone.jpg"), row("refused.jpg", error="too many pixels")]
    rows[0] = replaced
    scored = score_part(clients.blobs, Classifier.load(bundle), rows, "labelloop", PART)
    assert (scored.images, scored.now, scored.errors, scored.unavailable) == (23, 23, 4, 0)
    found = outcomes(clients)
    assert list(found) == [each.key for each in rows]
    assert [found[f"k:{number}.jpg"].labels for number in (1, 2, 3)] == [("green",), ("blue",), ("red",)]
    assert "replaced" in found["k:0.jpg"].error
    assert "can't be decoded" in found["k:text.jpg"].error
    assert "deleted" in found["k:gone.jpg"].error
    assert found["k:refused.jpg"].error == "too many pixels"


def test_what_a_part_has_is_not_scored_again(clients: Clients, moody: Moody) -> None:
    rows = drop_colours(clients, 6)
    score_part(clients.blobs, moody, rows[:4], "labelloop", PART)
    before = outcomes(clients)
    scored = score_part(clients.blobs, moody, rows, "labelloop", PART)
    assert (scored.images, scored.now, moody.calls) == (6, 2, 6)
    after = outcomes(clients)
    assert len(after) == 6
    assert before.items() <= after.items()


def test_a_breakdown_keeps_what_was_scored_before_it(clients: Clients, moody: Moody) -> None:
    rows = drop_colours(clients, 5)
    moody.breaks_at = 3
    with pytest.raises(RuntimeError, match="out of order"):
        score_part(clients.blobs, moody, rows, "labelloop", PART)
    assert list(outcomes(clients)) == [each.key for each in rows[:3]]
    moody.breaks_at = -1
    assert score_part(clients.blobs, moody, rows, "labelloop", PART).now == 2
    assert len(outcomes(clients)) == 5


def test_a_part_is_saved_while_it_is_scored(
    clients: Clients, moody: Moody, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scoring, "SAVE_SECONDS", 0.0)
    rows = drop_colours(clients, 3)
    predictions = iter(moody.predict([plain_jpeg(RED)] * 3))

    class Watched(Classifier):
        def predict(self, images: Iterable[bytes | ImageRejectedError | Source]) -> Iterator[Prediction]:
            yield next(predictions)
            yield next(predictions)
            assert list(outcomes(clients)) == ["k:0.jpg", "k:1.jpg"], "seen before the third is done with"
            yield next(predictions)

    watched = Watched.__new__(Watched)
    with caplog.at_level("INFO", "shared.scoring"):
        score_part(clients.blobs, watched, rows, "labelloop", PART)
    assert len(outcomes(clients)) == 3
    assert f"{PART}: 1 of 3 images, " in caplog.text


def test_images_that_can_not_be_read_now_get_no_outcome(clients: Clients, moody: Moody) -> None:
    rows = drop_colours(clients, 5)
    moody.unavailable = frozenset({1, 3})
    scored = score_part(clients.blobs, moody, rows, "labelloop", PART)
    assert (scored.now, scored.errors, scored.unavailable) == (3, 0, 2)
    assert set(outcomes(clients)) == {"k:0.jpg", "k:2.jpg", "k:4.jpg"}
    moody.unavailable = frozenset()
    assert score_part(clients.blobs, moody, rows, "labelloop", PART).unavailable == 0
    assert len(outcomes(clients)) == 5


def test_when_storage_fails_the_rest_is_not_tried(
    clients: Clients, moody: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "OUTAGE", 3)
    rows = drop_colours(clients, 8)
    moody.unavailable = frozenset({1, 3, 4, 5, 6, 7})
    with pytest.raises(ImageUnavailableError, match="3 images one after another: storage is busy"):
        score_part(clients.blobs, moody, rows, "labelloop", PART)
    assert set(outcomes(clients)) == {"k:0.jpg", "k:2.jpg"}


def test_two_that_score_the_same_shard_write_the_outcomes_of_both(clients: Clients) -> None:
    parts = [Part(clients.blobs, "labelloop", PART) for _ in range(4)]
    ready = threading.Barrier(4)

    def write(number: int) -> None:
        part = parts[number]
        part.read()
        ready.wait(30)
        for piece in range(5):
            key = f"{number}-{piece}"
            part.outcomes[key] = Outcome(key, (), (), "2026-11-24T00:00:00Z")
            part.write()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert set(outcomes(clients)) == {f"{number}-{piece}" for number in range(4) for piece in range(5)}


def test_the_entry_scripts_scorer_names_the_part_by_its_shard(clients: Clients, bundle: Path, tmp_path: Path) -> None:
    rows = drop_colours(clients, 2)
    manifest = tmp_path / "shard-00007.jsonl"
    manifest.write_text("".join(each.to_json() + "\n" for each in rows), encoding="utf-8")
    scorer = Scorer(clients.blobs, Classifier.load(bundle), "labelloop", "batches/b/")
    assert scorer.score(manifest).now == 2
    assert len(outcomes(clients, part_path("batches/b/", 7))) == 2


def test_a_failing_storage_ends_the_mini_batch_so_that_it_is_tried_again(
    clients: Clients, moody: Moody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.score_images import entry

    moody.unavailable = frozenset({1})
    manifest = tmp_path / "shard-00000.jsonl"
    manifest.write_text("".join(each.to_json() + "\n" for each in drop_colours(clients, 3)), encoding="utf-8")
    monkeypatch.setattr(entry, "_worker", [Scorer(clients.blobs, moody, "labelloop", "batches/b/")])
    with pytest.raises(ImageUnavailableError, match=r"2 of 3 images in .*, 0 errors; 1 could not be read now"):
        entry.run([str(manifest)])
    moody.unavailable = frozenset()
    (line,) = entry.run([str(manifest)])
    assert line.startswith("shard-00000.jsonl: 1 of 3 images in ")


def test_a_path_with_any_character_survives_the_manifest() -> None:
    odd = row('2026/ä\u2028b\x85c "d".jpg')
    assert read_manifest(odd.to_json() + "\n" + row("b").to_json() + "\n") == [odd, row("b")]
