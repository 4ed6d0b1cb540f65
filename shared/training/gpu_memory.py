"""Whether a batch of images fits the memory of a GPU: an estimate, since only the training itself can tell."""

from __future__ import annotations

import re

from shared.settings import BASE_MODELS

# What AutoML takes where no batch size is given, "the largest that can be used on 12 GiB GPU memory", for training and
# validation alike: https://learn.microsoft.com/azure/machine-learning/reference-automl-images-hyperparameters
DEFAULT_BATCH_SIZES = dict.fromkeys(BASE_MODELS, 78) | {"vits16r224": 128, "vitb16r224": 48, "vitl16r224": 10}
# What a run checks before it trains (azureml-automl-dnn-vision 1.62, common/sku_validation.py).
LEAST_MIB = 11_400
# AutoML's side of the images that a model trains on (training_crop_size, same source as above).
CROP_SIZE = 224

# By model: MiB of the weights, and MiB of what is kept for the backward pass of one image of 224 x 224 px, in 32-bit
# floats, which AutoML computes in. Counted with PyTorch 2.6 (`saved_tensors_hooks`, meta device) in the models of
# torchvision 0.21 and timm 1.0, which may keep more or less than those that AutoML brings: by these figures its own
# batches, said to fit 12 GiB, need from 2 (resnet18) to 14.5 GiB (resnest101).
_NEEDS = {
    "mobilenetv2": (9, 75),
    "resnet18": (43, 21),
    "resnet34": (81, 31),
    "resnet50": (90, 82),
    "resnet101": (162, 121),
    "resnet152": (222, 169),
    "resnest50": (97, 116),
    "resnest101": (176, 179),
    "seresnext": (97, 128),
    "vits16r224": (83, 67),
    "vitb16r224": (327, 134),
    "vitl16r224": (1157, 355),
}
# Weights, their gradients and the momentum of AutoML's default optimizer, SGD.
_COPIES = 3
# CUDA's context and the workspaces of cuDNN.
_BESIDES_MIB = 512
# Without a backward pass only the activations of a layer or two are there: for all models less than this share.
_VALIDATION_SHARE = 0.15

# Memory of one GPU in GB, by the names of VM sizes: "Accelerators" of
# https://learn.microsoft.com/azure/virtual-machines/sizes/overview#gpu-accelerated
_GPU_GB = (
    (r"nc(4|8|16|64)as_t4_v3", 16),
    (r"nc(6|12|24)r?s_v3", 16),
    (r"nc(24|48|96)ads_a100_v4", 80),
    (r"nc(40ads|80adis)_h100_v5", 94),
    (r"nd96asr_(a100_)?v4", 40),
    (r"nd96amsr_a100_v4", 80),
    (r"nd96isr_h100_v5", 80),
    (r"nd96isr_h200_v5", 141),
    (r"nv6ads_a10_v5", 4),
    (r"nv12ads_a10_v5", 8),
    (r"nv18ads_a10_v5", 12),
    (r"nv(36ads|36adms|72ads)_a10_v5", 24),
)


def memory_of(size: str) -> int | None:
    """Memory of one GPU of a VM size in MiB (of decimal GB), None where it is not known. Each GPU of a node trains on
    batches of its own.
    """
    name = size.lower().removeprefix("standard_")
    found = next((gigabytes for pattern, gigabytes in _GPU_GB if re.fullmatch(pattern, name)), None)
    return None if found is None else round(found * 1e9 / 2**20)


def training_need(model: str, batch_size: int, crop_size: int = CROP_SIZE) -> int:
    """MiB that a training needs at about, with images of `crop_size` px a side."""
    weights, image = _NEEDS[model]
    return round(_BESIDES_MIB + _COPIES * weights + batch_size * image * (crop_size / CROP_SIZE) ** 2)


def validation_need(model: str, batch_size: int, crop_size: int = CROP_SIZE) -> int:
    """MiB that the validation between two epochs of a training needs at about."""
    weights, image = _NEEDS[model]
    images = _VALIDATION_SHARE * batch_size * image * (crop_size / CROP_SIZE) ** 2
    return round(_BESIDES_MIB + _COPIES * weights + images)


def largest_batch(model: str, memory: int, crop_size: int = CROP_SIZE) -> int:
    """Images that fit `memory` MiB in a training at about; 0 where not even one does."""
    weights, image = _NEEDS[model]
    free = memory - _BESIDES_MIB - _COPIES * weights
    return max(int(free / (image * (crop_size / CROP_SIZE) ** 2)), 0)
