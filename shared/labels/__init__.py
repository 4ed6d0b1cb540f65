"""Readers of label exports: each turns its format into one stream of labelled images."""

from shared.labels.coco import read_coco
from shared.labels.model import LabelledImage

__all__ = ["LabelledImage", "read_coco"]
