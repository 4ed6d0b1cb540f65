"""The last word of a measurement."""

from __future__ import annotations


def verdict(*, within: bool) -> str:
    """What is printed after figures that are within their budget, or are not."""
    return "PASS" if within else "OVER BUDGET"
