"""Errors as Azure Storage writes them: XML for blobs and queues, JSON for tables.

https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2
"""

from __future__ import annotations

import time
import uuid

from aiohttp import web

from local.cloud.access.storage import BAD_TOKEN, MISMATCH
from local.cloud.clock import utc_text

_ERRORS = {
    MISMATCH: (403, "This request is not authorized to perform this operation using this permission."),
    BAD_TOKEN: (
        401,
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
    ),
}


def storage_error(service: str, code: str) -> web.Response:
    """The answer to a request that is refused with `code`."""
    status, text = _ERRORS[code]
    request_id = str(uuid.uuid4())
    message = f"{text}\nRequestId:{request_id}\nTime:{utc_text(time.time())}"
    headers = {"x-ms-error-code": code, "x-ms-request-id": request_id}
    if service == "table":
        error = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": message}}}
        return web.json_response(error, status=status, headers=headers)
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(status=status, headers=headers, text=body, content_type="application/xml")
