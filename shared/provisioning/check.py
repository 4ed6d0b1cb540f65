"""What a pre-flight check found."""

from __future__ import annotations

from dataclasses import dataclass

PASSED, WARNING, REFUSED, UNCHECKED = "passed", "warning", "refused", "unchecked"


@dataclass(frozen=True)
class Check:
    """`state` is passed, warning, refused (nothing is made) or unchecked (the app may not ask, or Azure does not tell);
    `message` says what was found, `remedy` what a person can do about it.
    """

    check: str
    state: str
    message: str
    remedy: str = ""
