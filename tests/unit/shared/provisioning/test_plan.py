"""Comparing what should be with what is."""

from __future__ import annotations

import pytest

from shared.errors import ConflictError
from shared.provisioning.access import allows
from shared.provisioning.preflight import _nearest
from shared.provisioning.resource import Difference, Properties, Resource, planned


class Thing(Resource):
    type = "some thing"
    fixed = frozenset({"size"})

    def __init__(self, actual: Properties | None) -> None:
        super().__init__("it")
        self._actual = actual

    @property
    def remedy(self) -> str:
        return "make another"

    def desired(self) -> Properties:
        return {"size": "Big", "nodes": 4, "filters": [{"key": "A", "values": ["x"]}]}

    def actual(self) -> Properties | None:
        return self._actual

    def make(self) -> None:
        raise NotImplementedError


SAME = {"size": "BIG", "nodes": 4, "filters": [{"key": "a", "values": ["X"]}], "more": 1}


def test_what_is_not_there_is_created() -> None:
    assert planned(Thing(None)).action == "create"
    assert planned(Thing(None)).id == "some-thing:it"


def test_what_is_as_wanted_exists_whatever_else_azure_tells_of_it() -> None:
    assert planned(Thing(SAME)).action == "exists"


def test_what_can_be_changed_is_updated_and_the_difference_shown() -> None:
    plan = planned(Thing({**SAME, "nodes": 2}))
    assert (plan.action, plan.differences, plan.remedy) == ("update", (Difference("nodes", 4, 2),), "")


@pytest.mark.parametrize("filters", [[], [{"key": "a"}], [{"key": "b", "values": ["X"]}], None])
def test_lists_and_objects_are_compared_to_their_depth(filters: object) -> None:
    assert planned(Thing({**SAME, "filters": filters})).action == "update"


def test_what_can_not_be_changed_is_a_conflict_with_the_way_out() -> None:
    plan = planned(Thing({**SAME, "size": "small", "nodes": 2}))
    assert (plan.action, plan.remedy) == ("conflict", "make another")
    assert [each.property for each in plan.differences] == ["size", "nodes"]


def test_what_can_not_be_there_yet_is_not_looked_for() -> None:
    assert planned(Thing(SAME), is_possible=False).action == "create"


def test_nothing_is_deleted_unless_a_resource_says_how() -> None:
    with pytest.raises(ConflictError, match="some thing it is not deleted by the app; delete it in Azure"):
        Thing(SAME).delete()


@pytest.mark.parametrize(
    ("actions", "not_actions", "allowed"),
    [
        (["*"], [], True),
        (["Microsoft.EventGrid/*"], [], True),
        (["microsoft.eventgrid/systemtopics/WRITE"], [], True),
        (["Microsoft.EventGrid/*/write"], [], True),
        (["Microsoft.EventGrid/systemTopics/*/write"], [], True),
        (["*"], ["Microsoft.EventGrid/systemTopics/*/write"], False),
        (["*/read"], [], False),
        (["Microsoft.EventGrid/systemTopics"], [], False),
        (["*"], ["Microsoft.EventGrid/*"], False),
        ([], [], False),
    ],
)
def test_wildcards_are_read_as_azure_reads_them(actions: list[str], not_actions: list[str], *, allowed: bool) -> None:
    permissions = [{"actions": actions, "notActions": not_actions}]
    assert allows(permissions, "Microsoft.EventGrid/systemTopics/write") is allowed


def test_what_one_role_leaves_out_another_may_give() -> None:
    one = {"actions": ["*"], "notActions": ["Microsoft.EventGrid/*"]}
    other = {"actions": ["Microsoft.EventGrid/*"], "notActions": None}
    assert allows([one, other], "Microsoft.EventGrid/systemTopics/write")


def test_regions_are_named_nearest_first_also_across_the_date_line() -> None:
    def region(name: str, latitude: str, longitude: str, kind: str = "Physical") -> dict[str, object]:
        return {"name": name, "metadata": {"regionType": kind, "latitude": latitude, "longitude": longitude}}

    regions = [
        region("westus", "37.783", "-122.417"),
        region("northeurope", "53.3478", "-6.2597"),
        region("japaneast", "35.68", "139.77"),
        region("europe", "", "", "Logical"),
        region("westeurope", "52.3667", "4.9"),
        region("fiji", "-18", "179"),
        region("samoa", "-14", "-172"),
    ]
    assert _nearest(regions, "westeurope")[0] == "northeurope"
    assert _nearest(regions, "fiji")[0] == "samoa"
    assert "europe" not in _nearest(regions, "fiji")
    assert _nearest(regions, "atlantis") == []
