"""What of a label export is trained on, as settings and callers fix it; and the words for the parts of a data set."""

from __future__ import annotations

from dataclasses import dataclass

# In the order of how far they are held out from training: where several claim an image, the last wins.
SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
# AutoML for images wants at least 10 images:
# https://learn.microsoft.com/azure/machine-learning/how-to-prepare-datasets-for-automl-images
MIN_IMAGES = 10
# https://learn.microsoft.com/azure/machine-learning/reference-automl-images-schema
FORMATS = ("jpg", "jpeg", "png", "jpe", "jfif", "bmp", "tif", "tiff")
MAX_EXAMPLES = 20


@dataclass(frozen=True)
class DataSetOptions:
    """How an export becomes a data set. Each field but the last is the setting of its name in capitals.

    `on_duplicate`: `unite` the labels of an image that has several rows, or `refuse` the export. `unlabelled`: `skip`
    images without labels, or keep them as `negative`s. Rows with a confidence below `min_label_confidence` (0 to 1) are
    left out. At most `max_read_images` images are downloaded for one export, to be compared with each other.
    """

    train_ratio: float = 0.8
    random_seed: int = 1
    min_images_per_label: int = 10
    on_duplicate: str = "unite"
    min_label_confidence: float = 0.0
    unlabelled: str = "skip"
    max_read_images: int = 20_000
