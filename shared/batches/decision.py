"""When waiting images become a batch, and where it is scored: pure functions of what waits and of the settings.

A cold GPU node costs minutes and money before it scores anything, and is paid for until it was idle for long enough.
The app takes a second or so an image and costs next to nothing. So few images are scored in the app at once; somewhat
more wait for others to share a node with, and if none come, the app has scored them before a node had started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.ledger import WaitingImages

if TYPE_CHECKING:
    from shared.settings import Settings

WAIT, INLINE, CLUSTER = "wait", "inline", "cluster"


@dataclass(frozen=True)
class Decision:
    """What to do with the images that wait: `route` is wait, inline or cluster; `reason` says why, for people."""

    route: str
    reason: str


def decide(waiting: WaitingImages, settings: Settings, *, has_model: bool, cluster_is_warm: bool = False) -> Decision:
    """Whether the waiting images become a batch now, and where it is scored. The cluster is warm while it scores
    another batch.
    """
    count = len(waiting.images)
    if not count:
        return Decision(WAIT, "nothing waits")
    if not has_model:
        return Decision(WAIT, f"{count} images wait for a first model")
    full = count >= settings.batch_max_images
    quiet = waiting.shortest_wait_seconds >= settings.batch_quiet_seconds
    overdue = waiting.longest_wait_seconds >= settings.batch_max_wait_seconds
    if not (full or quiet or overdue):
        return Decision(WAIT, f"{count} images wait; more are coming")
    # What was rejected has a row in the batch's file, but needs no scoring.
    to_score = sum(not each.image.error for each in waiting.images)
    place = place_for(to_score, settings)
    if place.route == INLINE or full or to_score >= settings.batch_min_images:
        return place
    if settings.compute_min_nodes or cluster_is_warm:
        return Decision(CLUSTER, f"{place.reason}; the cluster has a node already")
    few = f"{to_score} images, fewer than BATCH_MIN_IMAGES ({settings.batch_min_images})"
    waited = f"BATCH_MAX_WAIT_SECONDS ({settings.batch_max_wait_seconds})"
    if not overdue:
        return Decision(WAIT, f"{few}; they wait up to {waited} for more")
    if not settings.inline_max_images:
        return Decision(CLUSTER, f"{few}; no more came within {waited}, and INLINE_MAX_IMAGES is 0")
    return Decision(INLINE, f"{few}; no more came within {waited}, and a node would start later than the app ends")


def place_for(count: int, settings: Settings) -> Decision:
    """Where `count` images are scored that need not wait for others."""
    if count <= settings.inline_max_images:
        return Decision(INLINE, f"{count} images, at most INLINE_MAX_IMAGES ({settings.inline_max_images})")
    return Decision(CLUSTER, f"{count} images, more than INLINE_MAX_IMAGES ({settings.inline_max_images})")
