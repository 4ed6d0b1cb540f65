"""The templates, deployed in thought."""

from __future__ import annotations

import pytest

from tests.unit.infra.deployment import Deployment
from tests.unit.infra.support import deploy_main


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    """main.bicep with its defaults."""
    return deploy_main()
