"""What all structs of the contract have in common."""

from typing import Annotated

import msgspec
from msgspec import Meta

Cursor = Annotated[str | None, Meta(description="the `cursor` of the next page; null: this is the last")]


class Asked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of what clients send. A field that there is not is refused, since it was meant to do something."""


class Told(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of what clients get. A value that the contract does not tell of is a defect, and found by the tests."""
