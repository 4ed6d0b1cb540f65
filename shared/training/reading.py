"""From the files of an export to a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared import datasets
from shared.datasets import BlobImages, DataSetOptions
from shared.errors import ExportError
from shared.labels import open_export
from shared.models import model_store

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.datasets import DataSet, Findings
    from shared.locations import Datastores
    from shared.settings import Settings
    from shared.training.exports import FoundExport


def data_set_options(settings: Settings) -> DataSetOptions:
    """What the settings say of how an export becomes a data set."""
    return DataSetOptions(
        settings.train_ratio,
        settings.random_seed,
        settings.min_images_per_label,
        settings.on_duplicate,
        settings.min_label_confidence,
        settings.unlabelled,
    )


def read_data_set(
    clients: Clients, found: FoundExport, settings: Settings, datastores: Datastores, findings: Findings
) -> DataSet:
    """Read, check and split an export as the settings say; nothing is written but what is kept about its images.

    Raises ExportError when it can't be trained on; `findings` are filled in either way, as far as it got.
    """
    for note in found.notes:
        findings.add("definition", "note", note)
    if found.refusal:
        findings.add("files", "refusal", found.refusal, remedy="keep the label files in a folder of their own")
        raise ExportError(found.name, [found.refusal])
    store = model_store(clients)
    champion = store.champion()
    with found.opened(clients) as files:
        export = open_export(
            found.name,
            files,
            container_url=f"{clients.account_url.rstrip('/')}/{found.container}",
            known_labels=store.labels(champion.path) if champion else (),
        )
        findings.figures["format"] = export.format.value
        try:
            return datasets.build_data_set(
                export,
                found.name,
                datastores,
                clients.account_url,
                data_set_options(settings),
                findings,
                store=BlobImages(clients.blobs, settings.work_container),
                resolve=export.resolve,
            )
        finally:
            findings.add_rows(export.problems)
