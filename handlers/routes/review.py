"""The images that a person should look at."""

import msgspec

from handlers.contract.review import Review, ReviewImage, ReviewQuery
from handlers.http import Key, api, decode_cursor, encode_cursor
from shared.clients import clients


@api.get("review", Key.READ, query=ReviewQuery, tag="corrections")
def review(query: ReviewQuery) -> Review:
    """Of the images scored last those that the model is least certain of, or that are most surprising after what it was
    trained on; without those that somebody has corrected. Before there is a model: images that wait.
    """
    from shared.review.candidates import Position, review_page

    scope = f"review/{query.order}/{query.label}"
    begin = decode_cursor(scope, query.cursor, Position)
    page = review_page(clients(), query.order, query.label, limit=query.limit, begin=begin)
    images = msgspec.convert(page.images, list[ReviewImage])
    return Review(images=images, labels=page.labels, next=encode_cursor(scope, page.next) if page.next else None)
