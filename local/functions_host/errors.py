"""What can go wrong between an app folder and a running host."""

from __future__ import annotations


class HostError(Exception):
    """Base of this package's errors."""


class StartupError(HostError):
    """The host cannot start at all; the message says why and what would be right."""


class FunctionInError(HostError):
    """One function cannot run, the others can. The message is what the real host prints after "is in error:"."""
