"""From labelled images to AutoML's training data: checked, split for good, written, registered, and reported on."""

from shared.datasets.data_set import DataSet, Example
from shared.datasets.exports import export_id, get_export, get_export_page, list_exports, make_report, write_report
from shared.datasets.findings import Finding, Findings
from shared.datasets.making import build_data_set
from shared.datasets.options import MIN_IMAGES, SPLITS, DataSetOptions
from shared.datasets.storage import BlobImages
from shared.datasets.writing import register_data_asset, write_data_set

__all__ = [
    "MIN_IMAGES",
    "SPLITS",
    "BlobImages",
    "DataSet",
    "DataSetOptions",
    "Example",
    "Finding",
    "Findings",
    "build_data_set",
    "export_id",
    "get_export",
    "get_export_page",
    "list_exports",
    "make_report",
    "register_data_asset",
    "write_data_set",
    "write_report",
]
