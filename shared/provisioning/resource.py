"""What one Azure resource should be like, what it is like, and how the two differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from shared.errors import ConflictError

# Names that are worth comparing, as they are shown to people; the values are JSON.
Properties = Mapping[str, Any]

TAGS = {"application": "labelloop"}
EXISTS, CREATE, UPDATE, CONFLICT, UNREADABLE = "exists", "create", "update", "conflict", "unreadable"


class Resource(ABC):
    """One thing that must exist. `needs` are the ids of the resources that must exist before it.

    `fixed` are the properties that Azure can't change in place; `remedy` says what a person can do about these. A
    conflict means that it is somebody else's where `is_foreign_in_conflict`; then nothing is put into it.
    """

    type: ClassVar[str]
    fixed: ClassVar[frozenset[str]] = frozenset()
    is_foreign_in_conflict: ClassVar[bool] = False

    def __init__(self, name: str, needs: Sequence[Resource] = ()) -> None:
        self.name = name
        self.needs = tuple(each.id for each in needs)

    @property
    def id(self) -> str:
        """How people and the API name it, e.g. `event-subscription:labelloop-images`."""
        return f"{self.type.replace(' ', '-')}:{self.name}"

    @property
    def remedy(self) -> str:
        return ""

    @abstractmethod
    def desired(self) -> Properties:
        """What it should be like; values that only a resource still to be made will tell stand in parentheses."""

    @abstractmethod
    def actual(self) -> Properties | None:
        """What it is like, None when it does not exist. Only asked for when all that it needs exists."""

    @abstractmethod
    def make(self) -> None:
        """Create it, or update it in place. Doing so again changes nothing."""

    def delete(self) -> None:
        """Delete it; no effect when it is not there. Raises ConflictError for what is not deleted this way."""
        raise ConflictError(f"{self.type} {self.name} is not deleted by the app; {self.deletion}")

    @property
    def deletion(self) -> str:
        """How a person deletes what `delete` does not."""
        return "delete it in Azure"


@dataclass(frozen=True)
class Difference:
    """One property that is not as it should be."""

    property: str
    desired: Any
    actual: Any


@dataclass(frozen=True)
class PlannedResource:
    """`action` is exists, create, update, conflict, or unreadable (Azure did not let the app look, `error` says why).
    `remedy` says what to do about a conflict.
    """

    id: str
    type: str
    name: str
    action: str
    desired: Properties
    actual: Properties | None = None
    differences: tuple[Difference, ...] = ()
    remedy: str = ""
    error: str = ""


def planned(resource: Resource, *, is_possible: bool = True) -> PlannedResource:
    """Compare a resource with Azure. Where it is not `is_possible` yet, something that it needs does not exist."""
    desired, actual = resource.desired(), resource.actual() if is_possible else None

    def result(action: str, differences: Sequence[Difference] = (), remedy: str = "") -> PlannedResource:
        return PlannedResource(
            resource.id, resource.type, resource.name, action, desired, actual, tuple(differences), remedy
        )

    if actual is None:
        return result(CREATE)
    differences = [
        Difference(name, value, actual.get(name))
        for name, value in desired.items()
        if not same(value, actual.get(name))
    ]
    if any(each.property in resource.fixed for each in differences):
        return result(CONFLICT, differences, resource.remedy)
    return result(UPDATE if differences else EXISTS, differences)


def same(one: Any, other: Any) -> bool:
    """Whether Azure means the same by two values: it does not tell upper from lower case in names and ids."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
