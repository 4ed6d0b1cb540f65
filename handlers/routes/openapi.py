"""The API's own description."""

from handlers.http import Answer, Key, api
from shared.settings import configured


@api.get("openapi.json", Key.ANONYMOUS, answers={200: dict})
def openapi() -> Answer:
    """This document, as OpenAPI 3.1."""
    from handlers.http.document import document_bytes

    return Answer(document_bytes(configured("api_auth")), headers={"Cache-Control": "no-cache"})
