"""What people say of images, and the label export that it becomes."""

from urllib.parse import quote

import msgspec

from handlers.contract.review import (
    Correction,
    CorrectionExport,
    CorrectionExportRequest,
    CorrectionRequest,
    Corrections,
)
from handlers.http import Answer, Caller, Key, PageQuery, api, decode_cursor, encode_cursor
from shared.clients import clients
from shared.errors import ConflictError, NotFoundError

SCOPE = "corrections"


@api.get("corrections", Key.READ, query=PageQuery)
def list_corrections(query: PageQuery) -> Corrections:
    """What was said last of each image that was corrected, the latest first."""
    from shared.review import corrections
    from shared.review.correcting import correction_report

    begin = decode_cursor(SCOPE, query.cursor, str)
    page, following = corrections.Corrections(clients().tables).page(query.limit, begin)
    told = msgspec.convert([correction_report(each) for each in page], list[Correction])
    return Corrections(corrections=told, next=encode_cursor(SCOPE, following) if following else None)


@api.put("corrections/{*path}", Key.SCORE, body=CorrectionRequest, raises=[NotFoundError, ConflictError])
def put_correction(path: str, body: CorrectionRequest, caller: Caller) -> Correction:
    """Confirm or correct the labels of an image. New labels may be given; spellings of one label become one. All that
    was ever said is kept. 409: the image was replaced meanwhile.
    """
    from shared.review.correcting import correct, correction_report

    kept = correct(clients(), path, body.etag, body.labels, caller.name)
    return msgspec.convert(correction_report(kept), Correction)


@api.post(
    "corrections/export",
    Key.OPERATE,
    body=CorrectionExportRequest,
    answers={200: CorrectionExport, 202: CorrectionExport},
    raises=[ConflictError],
)
def export_corrections(body: CorrectionExportRequest) -> Answer:
    """Write the corrections as a label export, which a training starts with by itself. 200: that export was written
    before, and is trained on no second time.
    """
    from shared.review.exporting import export

    made = export(clients(), body.format, with_last_training=body.include == "all")
    told = msgspec.convert(made, CorrectionExport, from_attributes=True)
    return Answer(told, 202 if made.created else 200, {"Location": f"/api/exports/{quote(made.export_id)}"})
