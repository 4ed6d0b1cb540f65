"""Readers of label exports: whatever the format, one stream of labelled images."""

from shared.labels.export import Format, LabelExport, open_export
from shared.labels.model import ExportFile, IncompleteExportError, LabelledImage, Problem, Problems

__all__ = [
    "ExportFile",
    "Format",
    "IncompleteExportError",
    "LabelExport",
    "LabelledImage",
    "Problem",
    "Problems",
    "open_export",
]
