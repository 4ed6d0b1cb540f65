"""What the processes of one local stack agree on: ports, names, secrets and folders, kept in `<state>/stack.json`."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import secrets
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Azurite's published development account; it protects nothing.
ACCOUNT_NAME = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# How the Functions host tells the storage proxy that a request is its own, and not the app's.
HOST_AGENT = "labelloop-functions-host"
STORAGE_SERVICES = ("blob", "queue", "table")
FIRST_PORT, PORTS_EACH, SHARES = 20_000, 60, 200


@dataclass(frozen=True)
class StackConfig:
    """One local stack.

    `ports` maps a listener's name to its TCP port on 127.0.0.1:
    `arm` (HTTPS), `functions` (HTTP), `blob`, `queue`, `table` (the storage proxy, HTTPS),
    `blob_http`, `queue_http`, `table_http` (the same proxy without TLS, for clients that bring no certificate),
    `azurite_blob`, `azurite_queue`, `azurite_table` (Azurite itself, HTTPS, known to the proxy alone).
    """

    state: Path
    ports: dict[str, int]
    identity_header: str
    tenant_id: str = "00000000-0000-0000-0000-00000000aaaa"
    subscription_id: str = "00000000-0000-0000-0000-000000000001"
    resource_group: str = "labelloop"
    location: str = "westeurope"
    workspace_name: str = "labelloop"
    function_app_name: str = "labelloop-local"
    account_name: str = ACCOUNT_NAME
    account_key: str = ACCOUNT_KEY

    @property
    def certificate(self) -> Path:
        return self.state / "tls" / "cert.pem"

    @property
    def private_key(self) -> Path:
        return self.state / "tls" / "key.pem"

    @property
    def host_keys(self) -> Path:
        """JSON file of the Functions host's keys."""
        return self.state / "host" / "keys.json"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def arm_url(self) -> str:
        return f"https://127.0.0.1:{self.ports['arm']}"

    @property
    def cloud_metadata_url(self) -> str:
        return f"{self.arm_url}/metadata/endpoints?api-version=2019-05-01"

    @property
    def functions_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['functions']}"

    @property
    def workspace_id(self) -> str:
        """The workspace's GUID; Azure ML names its default blob container after it."""
        name = f"{self.subscription_id}/{self.resource_group}/{self.workspace_name}".lower()
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))

    @property
    def default_container(self) -> str:
        return f"azureml-blobstore-{self.workspace_id}"

    def storage_url(self, service: str) -> str:
        """Endpoint of `blob`, `queue` or `table` for clients that sign in with an identity."""
        return f"https://127.0.0.1:{self.ports[service]}/{self.account_name}"

    def connection_string(self, *, tls: bool = False) -> str:
        """Connection string through the proxy, so that its writes raise events."""
        scheme, suffix = ("https", "") if tls else ("http", "_http")
        endpoints = "".join(
            f"{service.capitalize()}Endpoint={scheme}://127.0.0.1:{self.ports[service + suffix]}/{self.account_name};"
            for service in STORAGE_SERVICES
        )
        account = f"AccountName={self.account_name};AccountKey={self.account_key};"
        return f"DefaultEndpointsProtocol={scheme};{account}{endpoints}"

    def identity_environment(self) -> dict[str, str]:
        """Environment that points the unmodified Azure SDKs at this stack, as App Service would set it."""
        return {
            "ARM_CLOUD_METADATA_URL": self.cloud_metadata_url,
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "IDENTITY_ENDPOINT": f"{self.arm_url}/msi/token",
            "IDENTITY_HEADER": self.identity_header,
        }

    def save(self) -> None:
        values = dataclasses.asdict(self)
        del values["state"]
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.state / "stack.json.new"
        # It holds the secret that identities are given out for.
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(values, indent=2))
        temporary.replace(self.state / "stack.json")

    @classmethod
    def load(cls, state: Path) -> StackConfig:
        """Read `<state>/stack.json`. Raises FileNotFoundError when no stack was ever started there."""
        return cls(state=state.resolve(), **json.loads((state / "stack.json").read_text()))

    @classmethod
    def load_or_create(cls, state: Path) -> StackConfig:
        """The stack kept in `state`, on its former ports where these are free, else on free ones."""
        state = state.resolve()
        try:
            config = cls.load(state)
        except FileNotFoundError:
            config = cls(state=state, ports={}, identity_header=secrets.token_urlsafe(24))
        names = ["arm", "functions"]
        for service in STORAGE_SERVICES:
            names += [service, f"{service}_http", f"azurite_{service}"]
        config = dataclasses.replace(config, ports=_free_ports(names, config.ports))
        config.save()
        return config


def _free_ports(names: list[str], wanted: dict[str, int]) -> dict[str, int]:
    """A free port for each name; all are held open together, so that no two are the same."""
    listeners: list[socket.socket] = []
    ports: dict[str, int] = {}
    others = _ports_of_this_process()
    try:
        for name in names:
            for port in itertools.chain([wanted[name]] if name in wanted else [], others):
                listener = socket.socket()
                listeners.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    listener.bind(("127.0.0.1", port))
                    ports[name] = listener.getsockname()[1]
                    break
    finally:
        for listener in listeners:
            listener.close()
    return ports


def _ports_of_this_process() -> Iterator[int]:
    """Ports to try; at last 0, for whatever the system gives. A port is free until its server has started, so stacks
    that start at the same time try different ones, and none that the system gives to outgoing connections (Linux: from
    32768 on).
    """
    first = FIRST_PORT + os.getpid() % SHARES * PORTS_EACH
    yield from range(first, first + PORTS_EACH)
    yield from itertools.repeat(0)
