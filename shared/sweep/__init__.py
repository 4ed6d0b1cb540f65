"""Finds images whose events were lost: blobs that lie in the images container, but were never noted in the ledger.

A sweep lists the container, which may take many ticks of the timer; where it is stands in a blob. It looks at what was
written since shortly before the last complete sweep began, and long enough ago that an event should have come. What the
ledger does not know goes, some images a message, to a queue, and from there the way of an image whose event came.

All times are the storage service's. To find an image twice does no harm, so every step may be killed at any point.
"""

from shared.sweep.found import FoundImage, images_of, message_of, receive_found, reject_found
from shared.sweep.sweeping import sweep

__all__ = ["FoundImage", "images_of", "message_of", "receive_found", "reject_found", "sweep"]
