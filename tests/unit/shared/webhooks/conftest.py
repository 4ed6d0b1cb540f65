"""A receiver for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.shared.webhooks.receiver import Receiver


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver")) as receiver:
        yield receiver


@pytest.fixture
def receiver(running: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """One that has heard nothing yet, and whose certificate is trusted."""
    running.forget()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.certificate))
    return running
