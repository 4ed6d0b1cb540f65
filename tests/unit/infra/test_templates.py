"""The templates are what the compiler and Azure Resource Manager accept, as far as that can be told without them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.infra.bicep import BicepError, key, literal, parse, problems, properties, text
from tests.unit.infra.functions import SUBSCRIPTION
from tests.unit.infra.resource_types import misfits
from tests.unit.infra.support import (
    EVENT_SUBSCRIPTIONS,
    FILES,
    INFRA,
    MAIN,
    VARIANTS,
    deploy_event_subscriptions,
    deploy_main,
    only,
)

MODULES = [each for each in FILES if each.parent.name == "modules"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_name_is_declared_once_and_used(path: Path) -> None:
    assert not problems(parse(path))


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_modules_get_all_the_parameters_that_they_declare_and_no_others(values: dict[str, Any]) -> None:
    assert deploy_main(**values).resources


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_every_property_is_one_that_azure_knows_and_takes(values: dict[str, Any]) -> None:
    assert not [each for resource in deploy_main(**values).resources for each in misfits(resource)]


def test_every_property_of_the_event_subscriptions_is_one_that_azure_knows_and_takes() -> None:
    assert not [each for resource in deploy_event_subscriptions().resources for each in misfits(resource)]


def test_every_module_is_deployed_by_main() -> None:
    used = {(INFRA / each.target).resolve() for each in parse(MAIN).modules.values()}
    assert used == set(MODULES)


def test_a_deployment_outside_of_the_resource_group_has_a_name_of_its_own() -> None:
    # Two deployments of one name at a subscription, from two regions, are refused:
    # https://learn.microsoft.com/azure/azure-resource-manager/bicep/deploy-to-subscription#deployment-location-and-name
    parts = [{key(name): text(value) for name, value in properties(each.body)} for each in parse(MAIN).modules.values()]
    outside = [each["name"] for each in parts if each.get("scope") != "group"]
    assert len(outside) == 1
    assert not [name for name in outside if "${token}" not in name]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_nothing_is_made_in_another_resource_group(values: dict[str, Any]) -> None:
    # `azd down` deletes every group that a resource of the deployment is in:
    # https://github.com/Azure/azure-dev/issues/2916
    deployment = deploy_main(**values)
    group = only(deployment, "Microsoft.Resources/resourceGroups").id
    places = {each.id.partition("/providers/")[0] for each in deployment.resources}
    assert places <= {group, SUBSCRIPTION}
    at_subscription = [each.type for each in deployment.resources if each.id.startswith(f"{SUBSCRIPTION}/providers/")]
    assert set(at_subscription) <= {
        "Microsoft.Authorization/roleDefinitions",
        "Microsoft.Authorization/roleAssignments",
    }


def test_no_module_comes_from_a_registry() -> None:
    assert not [each.target for path in FILES for each in parse(path).modules.values() if ":" in each.target]


def test_every_api_version_is_pinned_and_no_preview() -> None:
    versions = {each.target for path in FILES for each in parse(path).resources.values()}
    assert not [each for each in versions if not re.fullmatch(r"[\w./]+@\d{4}-\d\d-\d\d", each)]


def test_a_resource_type_has_the_same_api_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for path in FILES:
        for each in parse(path).resources.values():
            versions.setdefault(each.type, set()).add(each.api_version)
    assert not {kind: found for kind, found in versions.items() if len(found) > 1}


def test_every_parameter_is_described() -> None:
    undescribed = [
        f"{path.name}: {each.name}"
        for path in FILES
        for each in parse(path).parameters.values()
        if "description" not in each.constraints or len(literal(each.constraints["description"])) < 4
    ]
    assert not undescribed


@pytest.mark.parametrize("path", [MAIN, EVENT_SUBSCRIPTIONS], ids=lambda path: path.name)
def test_every_number_that_people_give_has_limits(path: Path) -> None:
    numbers = [each for each in parse(path).parameters.values() if each.type == "int"]
    assert numbers
    assert not [each.name for each in numbers if not {"allowed", "minValue"} & each.constraints.keys()], (
        "a number without a least value"
    )


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"computePriority": "Spot"}, "computePriority"),
        ({"computeMinNodes": -1}, "computeMinNodes"),
        ({"computeIdleSeconds": 59}, "computeIdleSeconds"),
        ({"instanceMemoryMB": 1024}, "instanceMemoryMB"),
        ({"storageSku": "Premium_LRS"}, "storageSku"),
        ({"provisioning": "off"}, "provisioning"),
        ({"environmentName": ""}, "environmentName"),
        ({"computeName": "gpu-cluster-with-a-long-name"}, "computeName"),
        ({"dataAccountName": "x" * 25}, "dataAccountName"),
    ],
)
def test_a_value_outside_of_a_parameters_limits_is_refused(values: dict[str, Any], name: str) -> None:
    with pytest.raises(BicepError, match=f"parameter {name} is"):
        deploy_main(**values)


def test_the_parameters_file_names_every_parameter_and_repeats_its_default() -> None:
    declared = parse(MAIN).parameters
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    # azd reads nothing else for a parameter that has a default; `today` is not to be given.
    assert given.keys() == declared.keys() - {"today"}
    assert given.pop("appSettings") == {"value": {}}
    for name, each in given.items():
        variable, separator, default = re.fullmatch(r"\$\{([A-Z_]+)(=?)([^}]*)\}", each["value"]).groups()  # type: ignore[union-attr]
        expected = declared[name].default
        if expected is None:
            assert not separator, f"{name} has no default in main.bicep"
        else:
            known = literal(expected) if expected.type == "string" else text(expected)
            assert default == known, f"{variable}: main.bicep's default of {name} is {known!r}"


def test_what_azd_keeps_of_a_deployment_comes_back_as_the_same_parameters() -> None:
    kept = {"resourceGroupName", "workspaceName", "provisioning", "budgetStartDate"}
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    outputs = deploy_main(budgetAmount=5, budgetEmail="team@example.com").outputs
    again = {name: outputs[re.findall(r"[A-Z_]+", given[name]["value"])[0]] for name in kept}
    second = deploy_main(budgetAmount=5, budgetEmail="team@example.com", today="2027-03-01", **again)
    assert second.outputs == outputs
    first = deploy_main(budgetAmount=5, budgetEmail="team@example.com")
    assert [each.id for each in second.resources] == [each.id for each in first.resources]
