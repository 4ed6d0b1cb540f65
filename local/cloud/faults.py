"""Faults on demand: a small table of rules that says which requests, deliveries or nodes go wrong, and how."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any

from local.cloud.errors import BadRequestError

STORAGE = ("blob", "queue", "table")
ANSWERING = (*STORAGE, "arm")
SERVICES = (*ANSWERING, "operations", "events", "eventgrid", "compute", "node")


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    At storage services and `arm`: an answer with `status` (and `retry_after`, s), a `delay` (s), a connection `reset`;
    all happens `after` the request was carried out, if asked for: its own answer is lost. At `arm`, the status' code is
    `error`, if given. At `operations` (the long-running ones, by the method and path that began them): it takes `delay`
    s, and fails with the code `error`. At `eventgrid` (delivery): `status`, as if the endpoint had answered it. At
    `events` (publishing): an event is `lost`, comes `delay` s late, or `copies` times more. At `compute`: a node of a
    pipeline works `delay` s on nothing, and ends with `exit_code`. At `node`: `lost_nodes` of the machines that a
    parallel node runs on are lost, as by pre-emption, each in the middle of a mini-batch that has run for `delay` s.
    """

    status: int | None = None
    retry_after: float | None = None
    delay: float = 0.0
    reset: bool = False
    after: bool = False
    error: str | None = None
    lost: bool = False
    copies: int = 0
    exit_code: int | None = None
    lost_nodes: int = 0


@dataclass
class _Rule:
    service: str
    operation: str
    path: str
    content: str
    left: int | None
    skip: int
    fault: Fault


class Faults:
    """Rules in order; the first that matches and is not used up applies."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._documents: list[dict[str, Any]] = []

    def replace(self, rules: list[dict[str, Any]]) -> None:
        """Set the rules. Each: `{"service", "operation"?, "path"?, "content"?, "times"?, "skip"?, …fields of Fault}`;
        `operation`, `path` and `content`, which is a small body as text, are glob patterns; `times` limits how often
        the rule applies, `skip` lets that many pass first. Raises BadRequestError for a rule that is not understood.
        """
        parsed = [_parse(rule) for rule in rules]
        self._rules, self._documents = parsed, rules

    def document(self) -> list[dict[str, Any]]:
        return [{**d, "left": r.left} for d, r in zip(self._documents, self._rules, strict=True)]

    def find(self, service: str, operation: str, path: str = "", content: bytes = b"") -> Fault | None:
        """The fault for this one request, which uses up one of the rule's times. `content` is its body, if known."""
        if not self._rules:
            return None
        for rule in self._rules:
            if rule.left == 0 or rule.service != service:
                continue
            if not fnmatch.fnmatchcase(operation, rule.operation) or not fnmatch.fnmatchcase(path, rule.path):
                continue
            if rule.content != "*" and not fnmatch.fnmatchcase(content.decode(errors="replace"), rule.content):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                return None
            if rule.left is not None:
                rule.left -= 1
            return rule.fault
        return None


def _parse(rule: dict[str, Any]) -> _Rule:
    given = dict(rule)
    service = given.pop("service", None)
    if service not in SERVICES:
        raise BadRequestError(f"The fault's service is '{service}'; it must be one of {', '.join(SERVICES)}.")
    operation, path, content = (str(given.pop(name, "*")) for name in ("operation", "path", "content"))
    times, skip = given.pop("times", None), int(given.pop("skip", 0))
    try:
        fault = Fault(**given)
    except TypeError as error:
        raise BadRequestError(f"The fault {rule} is not understood: {error}.") from error
    if fault.after and service not in ANSWERING:
        raise BadRequestError(f"The fault {rule} is not understood: only {', '.join(ANSWERING)} answer requests.")
    if content != "*" and service not in STORAGE:
        raise BadRequestError(f"The fault {rule} is not understood: only {', '.join(STORAGE)} know contents.")
    return _Rule(service, operation, path, content, None if times is None else int(times), skip, fault)
