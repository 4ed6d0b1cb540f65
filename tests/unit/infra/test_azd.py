"""azure.yaml: what azd deploys and which hook it runs."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.unit.infra.deployment import Deployment
from tests.unit.infra.support import INFRA, ROOT, only


def project() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "azure.yaml").read_text())
    return content


def test_azd_finds_the_app_by_its_tag(deployment: Deployment) -> None:
    (name,) = project()["services"]
    assert only(deployment, "Microsoft.Web/sites").body["tags"]["azd-service-name"] == name


def test_azd_deploys_the_repository_as_a_python_function_app() -> None:
    (service,) = project()["services"].values()
    assert service == {"project": ".", "language": "python", "host": "function"}
    assert (ROOT / "host.json").exists()


def test_every_platform_runs_the_hook_and_hears_of_its_failure() -> None:
    hooks = project()["hooks"]["postdeploy"]
    scripts = {platform: re.findall(r"\S+\.py", each["run"]) for platform, each in hooks.items()}
    assert scripts == {"posix": ["infra/hooks/postdeploy.py"], "windows": ["infra/hooks/postdeploy.py"]}
    assert (ROOT / "infra/hooks/postdeploy.py").exists()
    assert not any(each.get("continueOnError") for each in hooks.values())
    # PowerShell ends a script with 0, whatever the last program said.
    assert hooks["windows"]["run"].endswith("exit $LASTEXITCODE")


def test_the_hook_finds_in_the_environment_what_the_deployment_puts_out(deployment: Deployment) -> None:
    source = (INFRA / "hooks" / "postdeploy.py").read_text()
    wanted = set(re.findall(r'"((?:FUNCTION_APP|RESOURCE_MANAGER)_[A-Z_]+)"', source))
    assert wanted
    assert wanted <= deployment.outputs.keys()


def test_outputs_are_named_as_environment_variables(deployment: Deployment) -> None:
    assert not [each for each in deployment.outputs if not re.fullmatch(r"[A-Z][A-Z0-9_]*", each)]
