"""The registry: which model is the champion, promoting another one, and the bundle that a version consists of.

The champion is named by one small blob, `models/<MODEL_NAME>/champion.json` in the work container. One blob can be
replaced atomically (If-Match), and read without the Azure ML SDK; the tags of the registered versions say the same for
people, but two versions' tags can't be changed together.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ConflictError, NoModelError, NotFoundError
from shared.inference import CARD_FILE, LABELS_FILE, MODEL_FILE, Classifier

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.storage.blob import BlobServiceClient

    from shared.clients import Clients

# Beside the bundle: the page that the training writes for people.
REPORT_FILE = "report.html"
BUNDLE_FILES = (MODEL_FILE, LABELS_FILE, CARD_FILE)


@dataclass(frozen=True)
class Champion:
    """The model in use. `path` is its bundle's folder in the work container; `score` the metric it was promoted by."""

    name: str
    version: str
    path: str
    metric: str
    score: float
    job: str
    promoted_at: str

    @property
    def id(self) -> str:
        """`name:version`, as it stands in predictions."""
        return f"{self.name}:{self.version}"


@dataclass(frozen=True)
class ModelStore:
    """Where a model's champion and bundles are."""

    blobs: BlobServiceClient
    container: str
    model_name: str

    @property
    def _champion_path(self) -> str:
        return f"models/{self.model_name}/champion.json"

    def bundle_path(self, job: str) -> str:
        """Folder of the bundle that a training job makes."""
        return f"models/{self.model_name}/{job}"

    def champion(self) -> Champion | None:
        """The model in use, or None when none was ever promoted."""
        return self.champion_and_etag()[0]

    def champion_and_etag(self) -> tuple[Champion | None, str | None]:
        """The champion, and the etag that `promote` compares."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            download = self.blobs.get_blob_client(self.container, self._champion_path).download_blob()
            return Champion(**json.loads(download.readall())), str(download.properties.etag)
        except ResourceNotFoundError:
            return None, None

    def promote(self, champion: Champion, expected_etag: str | None) -> bool:
        """Make a version the champion, if the champion is still the one of `expected_etag` (None: there was none).

        False when another was promoted in between; then nothing is changed.
        """
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

        content = json.dumps(dataclasses.asdict(champion), indent=2).encode()
        blob = self.blobs.get_blob_client(self.container, self._champion_path)
        try:
            if expected_etag is None:
                blob.upload_blob(content, overwrite=False)
            else:
                blob.upload_blob(
                    content, overwrite=True, etag=expected_etag, match_condition=MatchConditions.IfNotModified
                )
        except (ResourceExistsError, ResourceModifiedError):
            return False
        return True

    def card(self, path: str) -> dict[str, Any]:
        """The model card of a bundle: labels, thresholds, preprocessing, metrics, lineage."""
        content = self.blobs.get_blob_client(self.container, f"{path}/{CARD_FILE}").download_blob().readall()
        card: dict[str, Any] = json.loads(content)
        return card

    def labels(self, path: str) -> tuple[str, ...]:
        """The labels of a bundle, in the model's order."""
        content = self.blobs.get_blob_client(self.container, f"{path}/{LABELS_FILE}").download_blob().readall()
        return tuple(json.loads(content))

    def upload_bundle(self, folder: Path, path: str) -> None:
        """Upload a bundle's files. The same bundle again changes nothing."""
        for name in BUNDLE_FILES:
            with (folder / name).open("rb") as file:
                self.blobs.get_blob_client(self.container, f"{path}/{name}").upload_blob(file, overwrite=True)

    def download_bundle(self, path: str, folder: Path) -> None:
        """Download a bundle's files into a folder that exists."""
        for name in BUNDLE_FILES:
            with (folder / name).open("wb") as file:
                self.blobs.get_blob_client(self.container, f"{path}/{name}").download_blob().readinto(file)


def model_store(clients: Clients) -> ModelStore:
    """Where the configured model is kept."""
    return ModelStore(clients.blobs, clients.settings.work_container, clients.settings.model_name)


class ClassifierCache:
    """The classifier of the model that was asked for last, kept for the life of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path = ""
        self._classifier: Classifier | None = None

    def get(self, store: ModelStore, path: str) -> Classifier:
        """The classifier of the bundle at `path`; bundles never change, so its path names it."""
        with self._lock:
            if self._classifier is None or self._path != path:
                folder = Path(tempfile.mkdtemp(prefix="labelloop-model-"))
                try:
                    store.download_bundle(path, folder)
                    self._classifier, self._path = Classifier.load(folder), path
                finally:
                    shutil.rmtree(folder)
            return self._classifier


classifiers = ClassifierCache()


def require_champion(store: ModelStore) -> Champion:
    """The champion. Raises NoModelError when there is none yet."""
    champion = store.champion()
    if champion is None:
        raise NoModelError(f"there is no champion of model {store.model_name} yet; export labels to train one")
    return champion


def get_version(ml: MLClient, store: ModelStore, version: str) -> dict[str, Any]:
    """One registered version, or the one in use for `champion`, with its card. Raises NotFoundError."""
    wanted = version
    if version == "champion":
        champion = store.champion()
        if champion is None:
            raise NotFoundError(f"model {store.model_name} has no champion yet; export labels to train one")
        wanted = champion.version
    found = next((each for each in list_versions(ml, store) if each["version"] == wanted), None)
    if found is None:
        raise NotFoundError(f"model {store.model_name} has no version {wanted}")
    job = found["tags"].get("job")
    return {**found, "card": store.card(store.bundle_path(job)) if job else None}


def get_report_page(ml: MLClient, store: ModelStore, version: str) -> bytes:
    """The report of a version as an HTML page; `champion` for the one in use. Raises NotFoundError."""
    from azure.core.exceptions import ResourceNotFoundError

    job = get_version(ml, store, version)["tags"].get("job")
    path = f"{store.bundle_path(job)}/{REPORT_FILE}" if job else ""
    try:
        if path:
            content: bytes = store.blobs.get_blob_client(store.container, path).download_blob().readall()
            return content
    except ResourceNotFoundError:
        pass
    raise NotFoundError(f"version {version} of model {store.model_name} has no report")


def promote_version(clients: Clients, version: str) -> dict[str, Any]:
    """Make a registered version the champion, an older one too; returns it. No effect when it is the champion.

    Raises NotFoundError when there is no such version, and ConflictError when it is none of LabelLoop's, or another was
    promoted at the same time.
    """
    from azure.core.exceptions import ResourceNotFoundError

    from shared.events import ModelPromoted, announce

    store = model_store(clients)
    current, etag = store.champion_and_etag()
    found = next((each for each in list_versions(clients.ml, store) if each["version"] == version), None)
    if found is None:
        raise NotFoundError(f"model {store.model_name} has no version {version}")
    if current is not None and current.version == version:
        return found
    job = str(found["tags"].get("job") or "")
    path = store.bundle_path(job)
    try:
        card = store.card(path) if job else None
    except ResourceNotFoundError:
        card = None
    if card is None:
        raise ConflictError(
            f"version {version} of model {store.model_name} has no bundle of LabelLoop; it can't be promoted"
        )
    metric = clients.settings.promote_metric
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    champion = Champion(store.model_name, version, path, metric, float(card["metrics"][metric]), job, now)
    if not store.promote(champion, etag):
        raise ConflictError(
            f"another version of model {store.model_name} was promoted at the same time; look, and retry"
        )
    before = f"in place of version {current.version}" if current else "as the first"
    announce(
        clients,
        ModelPromoted(
            model=store.model_name,
            version=version,
            job=job,
            data_set=str(card.get("data_set", "")),
            container=store.container,
            path=path,
            labels=len(card["labels"]),
            metrics={name: value for name, value in card["metrics"].items() if name != "labels"},
            reason=f"promoted by hand, {before}",
            decision={},
            promoted_at=now,
        ),
    )
    return {**found, "champion": True}


def list_versions(ml: MLClient, store: ModelStore) -> list[dict[str, Any]]:
    """All registered versions, newest first, as plain values; `champion` marks the one in use."""
    champion = store.champion()
    versions = [
        {
            "name": model.name,
            "version": str(model.version),
            "champion": champion is not None and str(model.version) == champion.version,
            "created_at": model.creation_context.created_at.isoformat() if model.creation_context else None,
            "tags": dict(model.tags or {}),
        }
        for model in ml.models.list(name=store.model_name)
    ]
    return sorted(versions, key=lambda each: version_number(each["version"]), reverse=True)


def version_number(version: str) -> int:
    """The number of a version; 0 for one that LabelLoop did not give, as people may register versions of their own."""
    return int(version) if version.isdecimal() else 0
