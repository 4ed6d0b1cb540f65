"""Which events an event subscription wants. Pure.

Operators and their rules: learn.microsoft.com, "Understand event filtering for Event Grid subscriptions". String
comparisons of advanced filters ignore case; a key that is missing or null matches only the Not…In operators and
IsNullOrUndefined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.cloud.errors import BadRequestError

Json = dict[str, Any]

MAX_ADVANCED_FILTERS = 25


def _strings(test: Callable[[str, str], bool]) -> Callable[[Any, list[Any]], bool]:
    return lambda value, given: isinstance(value, str) and any(test(value.lower(), str(g).lower()) for g in given)


def _numbers(test: Callable[[float, Any], bool]) -> Callable[[Any, list[Any]], bool]:
    return lambda value, given: _is_number(value) and any(test(value, g) for g in given)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_POSITIVE: dict[str, Callable[[Any, list[Any]], bool]] = {
    "NumberIn": _numbers(lambda value, given: value == given),
    "NumberLessThan": _numbers(lambda value, given: bool(value < given)),
    "NumberGreaterThan": _numbers(lambda value, given: bool(value > given)),
    "NumberLessThanOrEquals": _numbers(lambda value, given: bool(value <= given)),
    "NumberGreaterThanOrEquals": _numbers(lambda value, given: bool(value >= given)),
    "NumberInRange": _numbers(lambda value, given: bool(given[0] <= value <= given[1])),
    "BoolEquals": lambda value, given: isinstance(value, bool) and value in given,
    "StringIn": _strings(lambda value, given: value == given),
    "StringBeginsWith": _strings(str.startswith),
    "StringEndsWith": _strings(str.endswith),
    "StringContains": _strings(lambda value, given: given in value),
}
_NEGATIVE = {
    "NumberNotIn": "NumberIn",
    "NumberNotInRange": "NumberInRange",
    "StringNotIn": "StringIn",
    "StringNotBeginsWith": "StringBeginsWith",
    "StringNotEndsWith": "StringEndsWith",
    "StringNotContains": "StringContains",
}
_MATCHES_NULL = ("NumberNotIn", "StringNotIn")
_WITHOUT_VALUES = ("IsNullOrUndefined", "IsNotNull")


def check(subscription_filter: Json) -> None:
    """Raises BadRequestError for a filter that Event Grid would refuse, or whose operator is not known."""
    filters = subscription_filter.get("advancedFilters") or []
    if len(filters) > MAX_ADVANCED_FILTERS:
        raise BadRequestError(
            f"A subscription has at most {MAX_ADVANCED_FILTERS} advanced filters, not {len(filters)}."
        )
    for advanced in filters:
        operator, key = advanced.get("operatorType"), advanced.get("key")
        if operator not in (*_POSITIVE, *_NEGATIVE, *_WITHOUT_VALUES):
            raise BadRequestError(f"The advanced filter operator '{operator}' is not known.", code="InvalidRequest")
        if not key:
            raise BadRequestError(f"The advanced filter '{operator}' has no key.", code="InvalidRequest")
        if operator not in _WITHOUT_VALUES and not _given(advanced):
            raise BadRequestError(f"The advanced filter '{operator}' on '{key}' has no value.", code="InvalidRequest")


def matches(subscription_filter: Json, event: Json) -> bool:
    """Whether an event of the Event Grid schema passes a subscription's filter; all its parts must agree."""
    types = subscription_filter.get("includedEventTypes")
    if types and "All" not in types and event["eventType"].lower() not in {t.lower() for t in types}:
        return False
    subject = event["subject"]
    begins = subscription_filter.get("subjectBeginsWith") or ""
    ends = subscription_filter.get("subjectEndsWith") or ""
    if not subscription_filter.get("isSubjectCaseSensitive"):
        subject, begins, ends = subject.lower(), begins.lower(), ends.lower()
    if not (str(subject).startswith(begins) and str(subject).endswith(ends)):
        return False
    arrays = bool(subscription_filter.get("enableAdvancedFilteringOnArrays"))
    return all(_advanced(f, event, arrays=arrays) for f in subscription_filter.get("advancedFilters") or [])


def _advanced(advanced: Json, event: Json, *, arrays: bool) -> bool:
    operator = str(advanced["operatorType"])
    value = _lookup(event, advanced["key"])
    if operator in _WITHOUT_VALUES:
        return (value is None) == (operator == "IsNullOrUndefined")
    if value is None:
        return operator in _MATCHES_NULL
    values = value if isinstance(value, list) and arrays else [value]
    test = _POSITIVE[_NEGATIVE.get(operator, operator)]
    found = any(test(item, _given(advanced)) for item in values)
    return found != (operator in _NEGATIVE)


def _given(advanced: Json) -> list[Any]:
    values = advanced.get("values")
    if values is None:
        return [] if advanced.get("value") is None else [advanced["value"]]
    return list(values)


def _lookup(event: Json, key: str) -> Any:
    """`data.a.b` walks into the event; `Subject`, `EventType`, `Id`, `Topic`, `DataVersion` name its own fields."""
    names = {"id": "id", "topic": "topic", "subject": "subject", "eventtype": "eventType", "dataversion": "dataVersion"}
    if "." not in key and key.lower() in names:
        return event.get(names[key.lower()])
    value: Any = event
    for part in key.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
