"""Which model is in use, on real storage."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError

from shared.errors import NoModelError
from shared.models import BUNDLE_FILES, Champion, ClassifierCache, ModelStore, require_champion
from tests.support import LABELS, make_clients, plain_jpeg, prepare_storage, write_bundle

FIRST = Champion("multilabel", "1", "models/multilabel/train-1", "iou", 0.5, "train-1", "2026-11-24T06:00:00+00:00")
SECOND = dataclasses.replace(FIRST, version="2", path="models/multilabel/train-2", job="train-2", score=0.6)


@pytest.fixture
def store(storage: str) -> ModelStore:
    clients = make_clients(storage)
    prepare_storage(clients)
    return ModelStore(clients.blobs, clients.settings.work_container, clients.settings.model_name)


def test_before_the_first_promotion_there_is_no_champion(store: ModelStore) -> None:
    assert store.champion() is None
    assert store.champion_and_etag() == (None, None)
    with pytest.raises(NoModelError, match="there is no champion of model multilabel yet; export labels to train one"):
        require_champion(store)


def test_a_promoted_model_is_the_champion(store: ModelStore) -> None:
    assert store.promote(FIRST, None)
    assert store.champion() == FIRST
    assert require_champion(store).id == "multilabel:1"


def test_the_champion_is_replaced_by_whoever_compared_with_it(store: ModelStore) -> None:
    store.promote(FIRST, None)
    champion, etag = store.champion_and_etag()
    assert champion == FIRST
    assert store.promote(SECOND, etag)
    assert store.champion() == SECOND


def test_a_promotion_that_rests_on_an_outdated_comparison_changes_nothing(store: ModelStore) -> None:
    assert store.promote(FIRST, None)
    _, etag = store.champion_and_etag()
    assert not store.promote(SECOND, None), "it was found that there was no champion, but now there is"
    assert store.promote(SECOND, etag)
    assert not store.promote(FIRST, etag), "it was compared with the first, but now there is the second"
    assert store.champion() == SECOND


def test_models_of_other_names_have_champions_of_their_own(store: ModelStore) -> None:
    store.promote(FIRST, None)
    assert dataclasses.replace(store, model_name="fruit").champion() is None


def test_a_bundle_comes_back_as_it_was_uploaded(store: ModelStore, tmp_path: Path) -> None:
    folder, copy = write_bundle(tmp_path / "bundle"), tmp_path / "copy"
    copy.mkdir()
    store.upload_bundle(folder, store.bundle_path("train-1"))
    store.upload_bundle(folder, store.bundle_path("train-1"))
    store.download_bundle(store.bundle_path("train-1"), copy)
    for name in BUNDLE_FILES:
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
    assert store.card(store.bundle_path("train-1"))["labels"] == list(LABELS)


def test_a_classifier_is_loaded_once_and_again_when_another_model_is_asked_for(
    store: ModelStore, tmp_path: Path
) -> None:
    store.upload_bundle(write_bundle(tmp_path / "1"), "models/multilabel/train-1")
    store.upload_bundle(write_bundle(tmp_path / "2", ("red", "green")), "models/multilabel/train-2")
    cache = ClassifierCache()
    first = cache.get(store, "models/multilabel/train-1")
    assert cache.get(store, "models/multilabel/train-1") is first
    second = cache.get(store, "models/multilabel/train-2")
    assert (first.labels, second.labels) == (LABELS, ("red", "green"))
    assert next(first.predict([plain_jpeg()])).labels == ("red",), "its files are gone, but it is in memory"


def test_a_bundle_that_can_not_be_downloaded_leaves_the_cache_as_it_was(store: ModelStore, tmp_path: Path) -> None:
    store.upload_bundle(write_bundle(tmp_path / "1"), "models/multilabel/train-1")
    cache = ClassifierCache()
    first = cache.get(store, "models/multilabel/train-1")
    with pytest.raises(ResourceNotFoundError):
        cache.get(store, "models/multilabel/nobody")
    assert cache.get(store, "models/multilabel/train-1") is first
