"""The reader of the templates refuses what Bicep and Azure Resource Manager refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.infra.bicep import BicepError, parse, problems
from tests.unit.infra.deployment import Deployment, Resource, deploy
from tests.unit.infra.functions import SUBSCRIPTION, Runtime
from tests.unit.infra.resource_types import misfits

GROUP = f"{SUBSCRIPTION}/resourceGroups/rg"
MODULE = """
@description('Name.')
@minLength(3)
param name string
@description('Size.')
param size int = 1
resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: name
  location: 'westeurope'
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
  }
}
output id string = topic.id
output sizes string = string(size)
"""


def written(folder: Path, main: str) -> Path:
    (folder / "module.bicep").write_text(MODULE)
    path = folder / "main.bicep"
    path.write_text(main)
    return path


def deployed(folder: Path, main: str) -> Deployment:
    return deploy(written(folder, main), GROUP)


def call(parameters: str) -> str:
    return f"module made 'module.bicep' = {{\n  name: 'made'\n  params: {{\n{parameters}\n  }}\n}}\n"


def test_a_module_makes_its_resources_with_the_values_that_it_is_given(tmp_path: Path) -> None:
    main = (
        "var names = [\n  'one'\n  'two'\n]\n"
        + call("    name: '${names[1]}-topic'")
        + "output id string = made.outputs.id\n"
    )
    deployment = deployed(tmp_path, main)
    (made,) = deployment.resources
    assert made.id == f"{GROUP}/providers/Microsoft.EventGrid/topics/two-topic"
    assert deployment.outputs == {"id": made.id}


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        (call(""), "parameter name is not given"),
        (call("    name: 'abc'\n    colour: 'red'"), "has no parameter colour"),
        (call("    name: 'ab'"), "parameter name is 'ab', which is outside of"),
        (call("    name: 1"), "parameter name is 1, but must be a string"),
        (call("    name: 'abc'\n    size: true"), "parameter size is True, but must be a int"),
        (call("    name: 'abc'") + "output x string = made.outputs.colour\n", "there is no made.outputs.colour"),
        (
            call("    name: 'abc'").replace("= {", "= if (false) {", 1) + "output x string = made.outputs.id\n",
            "is not deployed",
        ),
        ("targetScope = 'subscription'\nparam x string = y\n", "y has no value"),
        ("var x = [\n", "syntax error"),
        ("func f(x string) string => x\n", "is not known here"),
    ],
)
def test_a_deployment_that_azure_would_refuse_is_refused(tmp_path: Path, main: str, expected: str) -> None:
    with pytest.raises(BicepError, match=expected):
        deployed(tmp_path, main)


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        ("output x string = y\n", "main.bicep:1: y is not declared"),
        ("var x = 1\nparam x string\noutput y int = x\n", "main.bicep: x is declared twice"),
        ("var x = 1\n", "main.bicep: x is never used"),
        ("output x string = toUpper('a')\n", "main.bicep:1: toUpper is no function"),
        ("output x string = true ? 'a' : y.z\n", "main.bicep:1: y is not declared"),
        ("output x array = map([\n  1\n], i => j)\n", "main.bicep:3: j is not declared"),
    ],
)
def test_names_that_are_wrong_are_found_even_where_they_are_not_reached(
    tmp_path: Path, main: str, expected: str
) -> None:
    assert expected in problems(parse(written(tmp_path, main)))


def topic(**properties: object) -> Resource:
    body = {"location": "westeurope", "properties": properties}
    return Resource("topic", "Microsoft.EventGrid/topics", "2025-02-15", "t", "/t", GROUP, existing=False, body=body)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (topic(inputScheme="x"), "topic: Microsoft.EventGrid/topics.properties has no property inputScheme; there are"),
        (
            topic(inputSchema="CloudEvents"),
            "topic: Microsoft.EventGrid/topics.properties.inputSchema is 'CloudEvents', but must be one of",
        ),
        (
            topic(disableLocalAuth="true"),
            "topic: Microsoft.EventGrid/topics.properties.disableLocalAuth is 'true', but must be bool",
        ),
        (topic(endpoint="https://x"), "topic: Microsoft.EventGrid/topics.properties.endpoint can't be set"),
    ],
)
def test_a_property_that_azure_does_not_take_is_found(resource: Resource, expected: str) -> None:
    (found,) = misfits(resource)
    assert found.startswith(expected)


def test_a_property_that_azure_wants_is_missed() -> None:
    topic = Resource("topic", "Microsoft.EventGrid/topics", "2025-02-15", "t", "/t", GROUP, existing=False, body={})
    assert misfits(topic) == ["topic: Microsoft.EventGrid/topics wants location"]


def test_values_that_only_azure_knows_fit_anywhere() -> None:
    assert not misfits(topic(inputSchema=Runtime("<x>.y")))
