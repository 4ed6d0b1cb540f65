"""From labelled images to a data set: every row checked, what can't be used left out, and the rest split."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue
from shared.datasets.data_set import DataSet, Examples, identity
from shared.datasets.facts import MISSING, READ, UNUSABLE, Facts, ImageStore, Remembered
from shared.datasets.findings import Findings
from shared.datasets.groups import Pairs, group_images, same_content
from shared.datasets.options import FORMATS, MAX_EXAMPLES, MIN_IMAGES, SPLITS, TRAIN, DataSetOptions
from shared.datasets.rows import Places, Resolve, read_images
from shared.datasets.split import Sides, assign_sides, positions_of
from shared.datasets.statistics import count_labels, describe_images
from shared.errors import ConflictError, ExportError
from shared.labels import LabelledImage
from shared.locations import Datastores

_TRIES = 5


def build_data_set(
    images: Iterable[LabelledImage],
    export: str,
    datastores: Datastores,
    account_url: str,
    options: DataSetOptions,
    findings: Findings,
    *,
    store: ImageStore | None = None,
    resolve: Resolve = lambda labels: labels,
) -> DataSet:
    """Check every row of an export and split its images. Raises ExportError with all reasons; `findings` is filled in
    either way, as far as it got.

    `resolve` is asked when all images were read, for what the labels of each mean (`LabelExport.resolve`). Without a
    `store` nothing is known of the images but their names: none is missing, none is like another, and none is
    remembered. Raises ConflictError when other exports keep changing what is remembered: then it can be tried again.
    """
    findings.figures["options"] = dict(vars(options))
    catalogue = read_images(images, export, Places(datastores, account_url), options, findings, resolve)
    facts = Facts(len(catalogue))
    if store is not None:
        store.look_up(catalogue, facts, findings)
    usable = _usable(catalogue, facts, findings)
    _skip_unlabelled(catalogue, usable, options, findings)
    if store is not None:
        store.read(catalogue, facts, np.flatnonzero(usable).astype(np.int32), options.max_read_images)
        _leave_out_unreadable(catalogue, facts, usable, findings)
    left_out = _drop_rare_labels(catalogue, usable, options, findings)
    catalogue.keep(usable)
    facts.keep(usable)
    describe_images(catalogue, facts, findings)
    if len(catalogue) < MIN_IMAGES or not catalogue.labels:
        have = f"{len(catalogue)} usable labelled images with {len(catalogue.labels)} labels"
        raise _too_few(export, options, have, findings)
    roots = _grouped(catalogue, facts, findings)
    del facts  # What follows takes memory, too.
    sides = _split(catalogue, roots, export, options, findings, store)
    count_labels(catalogue, sides, findings)
    chosen = {name: np.flatnonzero(sides == side) for side, name in enumerate(SPLITS)}
    splits = {name: Examples(catalogue, indices) for name, indices in chosen.items()}
    data_set_id = findings.figures["data_set"] = identity(catalogue, chosen)
    return DataSet(data_set_id, splits, tuple(catalogue.labels), left_out, tuple(findings.texts("warning")))


def _usable(catalogue: Catalogue, facts: Facts, findings: Findings) -> NDArray[np.bool_]:
    """Which images are there, in a format that can be read."""
    missing = facts.exists == MISSING
    _leave_out(catalogue, missing, findings, "missing", "images are left out, since they do not exist")
    empty = ~missing & (facts.size == 0)
    _leave_out(catalogue, empty, findings, "empty", "images are left out, since their files are empty")
    strange = np.zeros(len(catalogue), np.bool_)
    suffixes: dict[str, int] = {}
    for index, _, path in catalogue.scan():
        suffix = _suffix(path)
        suffixes[suffix] = suffixes.get(suffix, 0) + 1
        # Custom Vision's images have no suffix; whether the trainer can read them shows when they are read.
        strange[index] = suffix not in FORMATS and suffix != ""
    findings.figures["suffixes"] = dict(sorted(suffixes.items(), key=lambda each: (-each[1], each[0]))[:20])
    strange &= ~missing & ~empty
    text = f"images are left out, since AutoML reads only {', '.join(FORMATS)}"
    _leave_out(catalogue, strange, findings, "format", text, "convert them to JPEG, under new names, and label these")
    usable: NDArray[np.bool_] = ~(missing | empty | strange)
    return usable


def _suffix(path: str) -> str:
    """What stands after the last dot of a file's name, if it can be one."""
    suffix = path.rpartition("/")[2].rpartition(".")
    return suffix[2].lower() if suffix[1] and len(suffix[2]) <= 5 else ""


def _leave_out(
    catalogue: Catalogue, chosen: NDArray[np.bool_], findings: Findings, kind: str, text: str, remedy: str = ""
) -> None:
    count = int(chosen.sum())
    if count:
        findings.add(kind, "warning", f"{count} {text}", count, catalogue.names(chosen), remedy)
    findings.figures.setdefault("left_out", {})[kind] = count


def _skip_unlabelled(
    catalogue: Catalogue, usable: NDArray[np.bool_], options: DataSetOptions, findings: Findings
) -> None:
    unlabelled = usable & (np.diff(catalogue.label_starts) == 0)
    count = int(unlabelled.sum())
    if options.unlabelled != "negative":
        usable &= ~unlabelled
        findings.figures["left_out"]["without labels"] = count
        if count:
            text = f"{count} images without labels are left out"
            remedy = "set UNLABELLED=negative if all of them were looked at and have none of the labels"
            findings.add("unlabelled", "warning", text, count, remedy=remedy)
    elif count:
        text = f"{count} images without labels are kept as negatives; whether AutoML takes them is not documented"
        findings.add("unlabelled", "warning", text, count, remedy="set UNLABELLED=skip if the training fails for them")


def _leave_out_unreadable(catalogue: Catalogue, facts: Facts, usable: NDArray[np.bool_], findings: Findings) -> None:
    gone = usable & (facts.exists == MISSING)
    _leave_out(catalogue, gone, findings, "deleted", "images are left out, since they were deleted just now")
    unusable = usable & (facts.state == UNUSABLE) & ~gone
    count = int(unusable.sum())
    findings.figures["left_out"]["unreadable"] = count
    if count:
        some = np.flatnonzero(unusable)
        examples = (f"{catalogue.location(index)} {facts.problem(index)}" for index in some.tolist())
        remedy = "replace the files, or take them out of the export"
        text = f"{count} images are left out, since they can't be read"
        findings.add("unreadable", "warning", text, count, examples, remedy)
    usable &= ~(gone | unusable)


def _drop_rare_labels(
    catalogue: Catalogue, usable: NDArray[np.bool_], options: DataSetOptions, findings: Findings
) -> dict[str, int]:
    """Forget the labels that too few usable images have, and leave out the images that have no others."""
    counts = catalogue.label_counts(usable)
    kept = counts >= options.min_images_per_label
    each = zip(catalogue.labels, counts.tolist(), kept.tolist(), strict=True)
    left_out = {label: count for label, count, stays in each if count and not stays}
    rule = f"fewer than MIN_IMAGES_PER_LABEL ({options.min_images_per_label})"
    remedy = "label more images with it, or lower MIN_IMAGES_PER_LABEL"
    for label, count in list(left_out.items())[:MAX_EXAMPLES]:
        text = f"label {label!r} is left out: it has {count} images, {rule}"
        findings.add("rare label", "warning", text, count, remedy=remedy)
    if len(left_out) > MAX_EXAMPLES:
        more = len(left_out) - MAX_EXAMPLES
        findings.add("rare label", "warning", f"{more} more labels are left out: they have {rule}", more, remedy=remedy)
    had = np.diff(catalogue.label_starts) > 0
    catalogue.keep_labels(kept)
    emptied = usable & had & (np.diff(catalogue.label_starts) == 0)
    usable &= ~emptied
    count = int(emptied.sum())
    findings.figures["left_out"]["with all their labels"] = count
    findings.figures["left_out_labels"] = left_out
    if count:
        findings.add("rare labels only", "warning", f"{count} images are left out with all their labels", count)
    return left_out


def _tell_twins(catalogue: Catalogue, same: Pairs, findings: Findings) -> None:
    """Files of the same content whose labels differ."""
    left, right = same
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    differ = [(one, other) for one, other in pairs if catalogue.labels_of(one) != catalogue.labels_of(other)]
    findings.figures["conflicting copies"] = len(differ)
    if not differ:
        return

    def described(index: int) -> str:
        return f"{catalogue.location(index)} ({', '.join(catalogue.labels_of(index)) or 'no label'})"

    examples = (f"{described(one)} and {described(other)}" for one, other in differ)
    text = f"{len(differ)} pairs of files have the same content and different labels"
    findings.add("conflicting copies", "warning", text, len(differ), examples, "label all copies the same")


def _split(
    catalogue: Catalogue,
    roots: NDArray[np.int32],
    export: str,
    options: DataSetOptions,
    findings: Findings,
    store: ImageStore | None,
) -> Sides:
    """The images' sides, remembered for later exports. Labels that only earlier data sets' test images have go."""
    positions = positions_of(catalogue, options.random_seed)
    figures = findings.figures["groups"]
    for _ in range(_TRIES):
        remembered = store.recall(options) if store is not None else Remembered()
        earlier = remembered.of(catalogue.digests)
        sides, moved = assign_sides(
            positions, roots, earlier, catalogue.label_starts, catalogue.label_ids, options.train_ratio
        )
        figures["earlier images"] = int((earlier >= 0).sum())
        figures["moved for their labels"] = moved
        kept, usable = _trainable(catalogue, sides)
        train = int((usable & (sides == TRAIN)).sum())
        empty = [name for side, name in enumerate(SPLITS) if not (usable & (sides == side)).any()]
        if train < MIN_IMAGES or empty:
            have = f"{train} images to train on, of {len(catalogue)} usable ones (TRAIN_RATIO)"
            raise _too_few(export, options, have, findings)
        if store is not None and not store.remember(options, remembered.with_sides(catalogue.digests, sides)):
            continue
        if not kept.all():
            lost = [label for label, stays in zip(catalogue.labels, kept.tolist(), strict=True) if not stays]
            text = f"{len(lost)} labels are left out: all their images are held out since earlier data sets"
            findings.add("label not for training", "warning", text, len(lost), lost, "label more images with them")
            catalogue.keep_labels(kept)
            catalogue.keep(usable)
            sides = sides[usable]
        return sides
    raise ConflictError(f"label export {export}: other exports changed the split {_TRIES} times meanwhile; try again")


def _trainable(catalogue: Catalogue, sides: Sides) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels have an example for training, and which images have such a label, or never had one."""
    kept = catalogue.label_counts(sides == TRAIN) > 0
    usable = np.diff(catalogue.label_starts) == 0
    for images, ids in catalogue.label_pieces():
        usable[images[kept[ids]]] = True
    return kept, usable


def _grouped(catalogue: Catalogue, facts: Facts, findings: Findings) -> NDArray[np.int32]:
    """For each image the first image of its group; with what there is to say of copies and groups."""
    only_names = not facts.etag.any()
    same = same_content(facts)
    _tell_twins(catalogue, same, findings)
    facts.forget_files()
    if only_names:
        findings.figures["groups"] = {"groups": len(catalogue)}
        return np.arange(len(catalogue), dtype=np.int32)
    roots, figures = group_images(catalogue, facts, same)
    findings.figures["groups"] = figures
    read = int((facts.state == READ).sum())
    findings.figures["compared"] = {"images": len(catalogue), "read": read}
    unread = len(catalogue) - read
    if unread:
        text = (
            f"{unread} of {len(catalogue)} images were not compared by their looks, since one export has so many read"
            " (those come with the next one), or they are large; files of one name with numbers in the same ten are"
            " kept together instead"
        )
        findings.add("not compared", "note", text, unread)
    dissolved = figures["images of dissolved groups"]
    if dissolved:
        text = (
            f"{dissolved} images look so much alike that they can't be kept on one side; if they are frames of few"
            " scenes, the figures of the test flatter the model"
        )
        findings.add("alike", "warning", text, dissolved)
    return roots


def _too_few(export: str, options: DataSetOptions, have: str, findings: Findings) -> ExportError:
    wanted = (
        f"at least {MIN_IMAGES} images to train on, one for validation and one for test, and"
        f" {options.min_images_per_label} of each label (MIN_IMAGES_PER_LABEL), are needed"
    )
    findings.add("too few", "refusal", f"has {have}; {wanted}", remedy="label more images, and export again")
    return ExportError(export, [f"has {have}; {wanted}", *findings.texts("warning")])
