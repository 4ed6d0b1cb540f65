"""The cloud put together: stores, rules, servers, and their start and end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp import web

from local.cloud.access.assignments import Assignments
from local.cloud.access.gate import Gate
from local.cloud.access.seeds import seeded
from local.cloud.access.storage import StorageAccess
from local.cloud.certificate import ensure_certificate
from local.cloud.database import Database
from local.cloud.eventgrid.delivery import Deliverer
from local.cloud.eventgrid.destinations import Destinations
from local.cloud.eventgrid.events import EventLog
from local.cloud.eventgrid.handshakes import handshake
from local.cloud.eventgrid.subscriptions import Subscriptions
from local.cloud.eventgrid.topics import Topics
from local.cloud.faults import Faults
from local.cloud.host_admin import HostAdmin
from local.cloud.identity import EVENT_GRID_AUDIENCE, IdentityProvider
from local.cloud.jobs.engine import JobEngine
from local.cloud.jobs.locations import Locations
from local.cloud.jobs.run_events import model_registered, run_changed
from local.cloud.jobs.runner import NodeRunner
from local.cloud.jobs.runs import RunStore
from local.cloud.resources import ResourceStore
from local.cloud.rules.assets import Assets
from local.cloud.rules.computes import Computes
from local.cloud.rules.datastores import ARTIFACT_DATASTORE, Datastores
from local.cloud.rules.deployments import Deployments
from local.cloud.rules.ids import ML_PROVIDER, WorkspaceScope
from local.cloud.rules.jobs import Jobs
from local.cloud.rules.providers import Providers
from local.cloud.rules.workspaces import Workspaces
from local.cloud.storage.blobs import Blobs
from local.cloud.storage.counts import OperationCounts
from local.cloud.storage.proxy import StorageProxy
from local.cloud.wire.access_routes import access_routes
from local.cloud.wire.admin_routes import admin_guard, admin_routes
from local.cloud.wire.asset_routes import asset_routes, storage_account_id
from local.cloud.wire.compute_routes import compute_routes
from local.cloud.wire.dataset_routes import dataset_routes
from local.cloud.wire.eventgrid_routes import eventgrid_routes, publishing_guard, publishing_routes
from local.cloud.wire.history_routes import history_routes
from local.cloud.wire.http import Request, RouteGroup, build_application
from local.cloud.wire.job_routes import job_routes
from local.cloud.wire.operations import Operations
from local.cloud.wire.platform_routes import open_routes, platform_routes
from local.cloud.wire.subscription_routes import subscription_routes
from local.cloud.wire.workspace_routes import workspace_routes
from local.config import STORAGE_SERVICES, StackConfig

# Transfers of node inputs and outputs block threads; the default pool of two cores would hold six.
THREADS = 32
SHUTDOWN_SECONDS = 2.0


class Cloud:
    """One running local cloud."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self._database = Database(config.state / "cloud" / "cloud.sqlite")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(config.certificate)))
        )
        self._store = ResourceStore(self._database)
        self._faults = Faults()
        self._events = EventLog(self._database, self._store, self._faults)
        self._counts = OperationCounts()
        self._identity = IdentityProvider(config)
        self._assignments = Assignments(self._database, seeded(config))
        self._gate = Gate(self._identity, self._assignments)
        self._blobs = Blobs(config)
        self._destinations = Destinations(config)
        self._host = HostAdmin(config, self._session, lambda: self._destinations.host_keys()["master"])
        self._operations = Operations(config.arm_url, self._store, self._faults)
        self._runs = RunStore(self._database, functools.partial(run_changed, self._events))
        self._assets = Assets(self._store, functools.partial(model_registered, self._events))
        self._datastores = Datastores(self._store, config)
        self._workspaces = Workspaces(self._store, self._datastores, self._blobs, config)
        self._deployments = Deployments(self._store, self._workspaces)
        self._computes = Computes(self._store, config)
        self._providers = Providers(self._store)
        self._jobs = Jobs(self._store, self._runs, self._assets, self._computes, config)
        locations = Locations(self._datastores, self._assets, self._runs, config.account_name)
        self._runner = NodeRunner(
            config, self._runs, locations, self._datastores, self._blobs, self._identity, self._faults
        )
        self._engine = JobEngine(self._runs, self._runner, self._computes, self._jobs.replan)
        self._jobs.engine = self._engine
        self._topics = Topics(self._store, self._events, config)
        self._subscriptions = Subscriptions(
            self._store,
            self._events,
            self._destinations,
            functools.partial(handshake, self._session),
            functools.partial(self._assignments.allows, data=True),
        )
        self._deliverer = Deliverer(
            self._database,
            self._store,
            self._events,
            self._destinations,
            self._session,
            self._blobs,
            self._faults,
        )
        account_id = storage_account_id(config)
        access = StorageAccess(self._identity, self._assignments, account_id)
        self._proxy = StorageProxy(config, self._events, self._counts, self._faults, access, account_id)
        self._runners: list[web.AppRunner] = []
        self._delivery: asyncio.Task[None] | None = None

    def route_groups(self) -> list[RouteGroup]:
        """Every operation, for the server and for the coverage table."""

        def open_to_all(request: Request) -> None:
            del request

        def publishing_token(authorization: str | None) -> object:
            return self._identity.require(authorization, audiences=[EVENT_GRID_AUDIENCE])

        bearer, linked = self._gate.management, self._gate.with_links
        management = [
            *subscription_routes(self._computes, self._providers, self.config),
            *workspace_routes(
                self._store,
                self._workspaces,
                self._deployments,
                self._datastores,
                self._providers,
                self._operations,
                self.config,
            ),
            *compute_routes(self._store, self._computes, self._operations, self.config),
            *self._operations.routes(ML_PROVIDER),
            *self._operations.routes("Microsoft.Resources"),
            *asset_routes(self._assets, self._blobs, self.config),
            *job_routes(self._jobs, self._runs, self.config),
        ]
        return [
            RouteGroup("Sign-in and discovery", open_to_all, open_routes(self.config, self._identity)),
            RouteGroup("Azure Machine Learning", bearer, linked(management)),
            RouteGroup("Azure ML run history", bearer, history_routes(self._runs, self._jobs, self._log_url)),
            RouteGroup("Azure ML data sets", bearer, dataset_routes(self._assets)),
            RouteGroup(
                "Event Grid",
                bearer,
                linked(
                    eventgrid_routes(
                        self._store, self._topics, self._subscriptions, self._providers, self._operations, self.config
                    )
                ),
            ),
            RouteGroup(
                "Publishing to Event Grid",
                self._gate.publishing(
                    publishing_guard(self._topics, publishing_token),
                    EVENT_GRID_AUDIENCE,
                    lambda name: self._topics.custom(name).id,
                ),
                publishing_routes(self._topics),
            ),
            RouteGroup("Access control", bearer, access_routes(self._assignments, self._gate, self.config)),
            RouteGroup(
                "Function app and storage account",
                bearer,
                platform_routes(self.config, self._destinations, self._host),
            ),
            RouteGroup(
                "Administration of the local cloud (header x-admin-key)",
                admin_guard(self.config),
                admin_routes(self._counts, self._events, self._faults, self._runs, self._engine, self._runner),
            ),
        ]

    def _log_url(self, run_id: str) -> str:
        path = f"ExperimentRun/dcid.{run_id}/user_logs/std_log.txt"
        scope = WorkspaceScope.of(self._runs.get(run_id).workspace)
        container = self._datastores.container(scope, ARTIFACT_DATASTORE)
        base, _, sas = self._blobs.container_sas_url(container).partition("?")
        return f"{base}/{path}?{sas}"

    async def start(self) -> None:
        """Open all listeners, resume jobs and deliveries."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="cloud"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.config.certificate, self.config.private_key)
        ports = self.config.ports
        await self._listen(build_application(self.route_groups(), self._faults), {ports["arm"]: context})
        for service in STORAGE_SERVICES:
            listeners = {ports[service]: context, ports[f"{service}_http"]: None}
            await self._listen(self._proxy.application(service), listeners)
        self._delivery = asyncio.create_task(self._deliverer.run())
        self._engine.start()

    async def _listen(self, application: web.Application, listeners: dict[int, ssl.SSLContext | None]) -> None:
        runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        for port, context in listeners.items():
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024).start()

    async def close(self) -> None:
        """End processes and connections; what is unfinished is resumed by the next start."""
        for runner in self._runners:
            await runner.cleanup()
        await self._engine.close()
        await self._operations.close()
        if self._delivery is not None:
            self._delivery.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._delivery
        await self._proxy.close()
        await self._session.close()
        self._blobs.close()
        self._database.close()


def make_cloud(config: StackConfig) -> Cloud:
    """A cloud for a stack, with its certificate; call within a running event loop."""
    ensure_certificate(config)
    return Cloud(config)
