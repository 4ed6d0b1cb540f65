"""A developer's laptop: the app's code signs in with the Azure CLI's login and nothing else."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from local.cloud.identity import OWNER_CLIENT_ID
from local.cloud.rules.identities import principal_of
from local.stack import ROOT
from shared.clients import Clients
from shared.provisioning import plan_report
from tests.contract.cloud.roles import give
from tests.contract.local_stack import Cloud, MakeClients

# What `az account get-access-token --output json --resource <audience>` prints.
AZ = """#!{python}
import json, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from local.cloud.identity import IdentityProvider
from local.config import StackConfig

if sys.argv[1:3] != ["account", "get-access-token"]:
    sys.exit("az: unexpected " + " ".join(sys.argv[1:]))
audience = sys.argv[sys.argv.index("--resource") + 1]
config = StackConfig.load(Path({state!r}))
token, expires = IdentityProvider(config).issue(audience, {client!r})
print(json.dumps({{"accessToken": token, "expires_on": expires, "tenant": config.tenant_id, "tokenType": "Bearer"}}))
"""


@pytest.fixture
def developer(cloud: Cloud, make: MakeClients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Clients of somebody who is signed in with the Azure CLI, on a machine without a managed identity."""
    executable = tmp_path / "az"
    state = str(cloud.stack.config.state)
    executable.write_text(AZ.format(python=sys.executable, root=str(ROOT), state=state, client=OWNER_CLIENT_ID))
    executable.chmod(executable.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name)
    return make()


def test_management_workspace_and_event_grid_take_the_login(developer: Clients) -> None:
    plan = plan_report(developer)
    assert plan["state"] == "changes", plan["checks"]
    assert developer.principal.object_id


def test_storage_takes_the_login_too_once_it_has_the_role(cloud: Cloud, developer: Clients) -> None:
    config = cloud.stack.config
    give(config, principal_of(OWNER_CLIENT_ID), "Storage Blob Data Contributor", developer.account_resource_id)
    developer.blobs.create_container("from-a-laptop")
    assert "from-a-laptop" in {each.name for each in developer.blobs.list_containers()}
