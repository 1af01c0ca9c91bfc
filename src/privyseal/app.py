"""The wiring of one API worker: store, keeper, recorder, REST, and uvicorn on the socket that the supervisor made."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn

from privyseal.audit.recorder import Recorder
from privyseal.keeper.client import KeeperClient
from privyseal.keeper.hardening import harden_worker
from privyseal.keeper.hiding import forbid_connecting, hide
from privyseal.operations import upkeep
from privyseal.operations.appliance import Appliance, load, nothing_yet
from privyseal.operations.rotate_domain_key import drive
from privyseal.orders import heard
from privyseal.rest import api
from privyseal.rest.doors import Server
from privyseal.rest.limits import LimitedProtocol
from privyseal.rest.marks import Marked
from privyseal.rest.mutual_tls import MutualTLS
from privyseal.served_tls import ServedTLS
from privyseal.store import appliance as appliance_rows
from privyseal.store.store import Store
from privyseal.telemetry import logs
from privyseal.telemetry.bell import Bell
from privyseal.telemetry.metrics import RELOADS, Metrics
from privyseal.tls import TLSFiles

_log = logging.getLogger("privyseal.worker")
_STOP_SECONDS = 5
_MEASURE_SECONDS = 1.0
_ORDERS = 65536  # bytes; what the supervisor says at once is far less


@contextlib.asynccontextmanager
async def open_appliance(database: str, keeper: Path, metrics: Metrics | None = None) -> AsyncIterator[Appliance]:
    """Open everything that operations work with; close it in the other order."""
    store = Store(database)
    with store.read() as connection:
        node = appliance_rows.node(connection)
    metrics = metrics or Metrics()
    client = KeeperClient(keeper)
    recorder = Recorder(store, metrics.histogram("privyseal_record_commit_seconds"), client.recorded)
    snapshot = nothing_yet() if node is None else load(store)
    appliance = Appliance(node or "", store, client, recorder, snapshot, metrics)
    background = [asyncio.create_task(work) for work in (_measure(appliance), drive(appliance))]
    try:
        yield appliance
    finally:
        for task in background:
            task.cancel()
        appliance.recorder.close()
        await appliance.keeper.close()
        store.close()


async def _measure(appliance: Appliance) -> None:
    """Publish how much waits in this worker, so that any worker can tell; serve a certificate that was renewed."""
    while True:
        if appliance.tls is not None:
            appliance.tls.look()
        appliance.metrics.set("privyseal_recorder_queue", appliance.recorder.waiting)
        appliance.metrics.set("privyseal_keeper_queue", appliance.keeper.waiting)
        appliance.metrics.set("privyseal_workers", 1)
        await asyncio.sleep(_MEASURE_SECONDS)


async def _work(
    listener: socket.socket,
    database: str,
    keeper: Path,
    tls: TLSFiles,
    shared: tuple[Metrics, Bell],
    *,
    access_log: bool,
) -> None:
    metrics, bell = shared
    async with open_appliance(database, keeper, metrics) as appliance:
        appliance.kept_files, appliance.bell = (tls.ca, tls.ca_key), bell
        front = api.build(appliance, access_log=access_log)
        mutual_tls = MutualTLS.of(appliance, tls.certificate)
        appliance.tls = ServedTLS(tls, mutual_tls.renew)
        config = uvicorn.Config(
            front,
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,  # ours is set up
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ssl_context_factory=lambda *_: mutual_tls,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        server = Server(config)
        asyncio.get_running_loop().add_reader(0, _hear, server, front, appliance)
        gc.freeze()  # what is here now stays; the collector need not walk through it again and again
        gc.set_threshold(10_000, 50, 50)
        background = [asyncio.create_task(work) for work in (upkeep.run(appliance), mutual_tls.follow())]
        await server.serve(sockets=[listener])
        for task in background:
            task.cancel()


def _hear(server: uvicorn.Server, front: Marked, appliance: Appliance) -> None:
    """Do what the supervisor says; end when it is gone."""
    data = os.read(0, _ORDERS)
    for reload in heard(data):
        front.access_log = reload.access_log
        if appliance.tls is not None:
            appliance.tls.look()
        appliance.metrics.count(RELOADS)
    if not data:
        server.should_exit = True
        appliance.keeper.expect_no_other()
        asyncio.get_running_loop().remove_reader(0)


def main() -> None:
    """Run one API worker; `privyseal serve` starts it."""
    parser = argparse.ArgumentParser(prog="privyseal-worker")
    for name in ("--listener", "--keeper", "--tls", "--metrics", "--place", "--bell"):
        parser.add_argument(name, required=True)
    parser.add_argument("--log-format", choices=logs.FORMATS)
    parser.add_argument("--hide")
    parser.add_argument("--access-log", action="store_true")
    words = parser.parse_args()
    logs.set_up(words.log_format, "worker")
    database = os.environ.pop("PRIVYSEAL_DATABASE")  # it may hold a password, so it does not come as an argument
    calls_out = not database.startswith("sqlite:")
    harden_worker(network=calls_out)
    if not calls_out:
        forbid_connecting()
    if words.hide and not hide(Path(words.hide)):
        _log.warning("this kernel has no Landlock: whoever takes this worker over can read the key file")
    listener = socket.socket(fileno=int(words.listener))
    shared = Metrics(int(words.metrics), int(words.place)), Bell(int(words.bell))
    work = _work(listener, database, Path(words.keeper), TLSFiles(Path(words.tls)), shared, access_log=words.access_log)
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(work)


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - only a worker needs it

    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
