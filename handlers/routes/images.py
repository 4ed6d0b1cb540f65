"""Images over HTTP: lists, one image's story, and putting one into storage."""

from urllib.parse import quote

import msgspec

from handlers.contract.images import Image, ImageQuery, Images, ImageStory, StoredImage
from handlers.http import Answer, Content, File, Key, api, decode_cursor, encode_cursor
from handlers.http.moments import moment
from handlers.http.problems import PRECONDITION_FAILED, HttpError
from shared.clients import clients
from shared.errors import ConflictError, ImageRejectedError, InvalidRequestError, NotFoundError

MAX_BYTES = 100_000_000
IMAGE = File("the image")


@api.get("images", Key.READ, query=ImageQuery)
def list_images(query: ImageQuery) -> Images:
    """The images, newest first: by default those that were scored, or could not be. Those that wait or are in a batch
    are listed in the order of their turn.
    """
    from shared.image_pages import batched_page, ended_page, waiting_page
    from shared.ledger import Ledger
    from shared.results.images import ENDED_STATES, Wanted
    from shared.results.listing import Position, TimeRange

    known = clients()
    ledger = Ledger(known.tables)
    scope = f"images/{query.state}/{query.label}/{query.min_probability}/{query.prefix}"
    if query.state in {"waiting", "batched"}:
        for field in ("label", "min_probability", "after", "before"):
            if getattr(query, field):
                raise InvalidRequestError(f"{field} does not go with state {query.state}", field)
    if query.state == "waiting":
        after = decode_cursor(scope, query.cursor, tuple[int, str])
        page = waiting_page(ledger, query.prefix, limit=query.limit, after=after)
    elif query.state == "batched":
        begin = decode_cursor(scope, query.cursor, Position)
        page = batched_page(known, ledger, query.prefix, limit=query.limit, begin=begin)
    else:
        wanted = Wanted(
            states=(query.state,) if query.state else ENDED_STATES,
            label=query.label or "",
            min_probability=query.min_probability,
            prefix=query.prefix,
            made=TimeRange(moment(query.after, "after"), moment(query.before, "before")),
        )
        begin = decode_cursor(scope, query.cursor, Position)
        page = ended_page(known, ledger, wanted, limit=query.limit, begin=begin)
    following = encode_cursor(scope, page.next) if page.next else None
    return Images(images=msgspec.convert(page.images, list[Image]), next=following)


# The host tries functions in the order of their names, and `{*path}` takes an empty path, too: this one comes after
# `list_images`.
@api.get("images/{*path}", Key.READ, raises=[NotFoundError])
def read_image(path: str) -> ImageStory:
    """What became of an image: every content that it had, newest first."""
    from shared.image_pages import image_story
    from shared.ledger import Ledger

    known = clients()
    return msgspec.convert(image_story(known, Ledger(known.tables), path), ImageStory)


@api.put(
    "images/{*path}",
    Key.SCORE,
    accepts={"image/*": IMAGE, "application/octet-stream": IMAGE},
    max_bytes=MAX_BYTES,
    answers={200: StoredImage, 201: StoredImage},
    raises=[ImageRejectedError],
    kinds=[PRECONDITION_FAILED],
)
def put_image(path: str, content: Content) -> Answer:
    """Put an image into storage, where it is scored as any other that lands there. With `If-None-Match: *` only if
    there is none of that path.
    """
    from shared.uploads import store_image

    known = clients()
    none_match = content.request.headers.get("if-none-match")
    if none_match not in {None, "*"}:
        raise InvalidRequestError(f"If-None-Match is {none_match!r}; only * is taken here", "If-None-Match")
    try:
        stored = store_image(known, path, content.body, content.media_type, only_if_absent=none_match == "*")
    except ConflictError as error:
        raise HttpError(PRECONDITION_FAILED, str(error), field="If-None-Match") from None
    container = known.settings.images_container
    url = f"{known.account_url.rstrip('/')}/{container}/{quote(path)}"
    told = StoredImage(path=path, container=container, etag=stored.etag, url=url)
    return Answer(told, 201 if stored.is_new else 200, {"Location": f"/api/images/{quote(path)}"})
