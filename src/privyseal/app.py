"""The wiring of one API worker: store, keeper, recorder, REST, and uvicorn on the socket that the supervisor made."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn

from privyseal.audit.recorder import Recorder
from privyseal.keeper.client import KeeperClient
from privyseal.keeper.hardening import harden_worker
from privyseal.operations.appliance import Appliance, load, nothing_yet
from privyseal.operations.rotate_domain_key import drive
from privyseal.rest import api
from privyseal.rest.protocol import JoinedProtocol
from privyseal.store import appliance as appliance_rows
from privyseal.store.store import Store
from privyseal.tls import TLSFiles

_STOP_SECONDS = 5


@contextlib.asynccontextmanager
async def open_appliance(database: str, keeper: Path) -> AsyncIterator[Appliance]:
    """Open everything that operations work with; close it in the other order."""
    store = Store(database)
    with store.read() as connection:
        node = appliance_rows.node(connection)
    snapshot = nothing_yet() if node is None else load(store)
    appliance = Appliance(node or "", store, KeeperClient(keeper), Recorder(store), snapshot)
    rotating = asyncio.create_task(drive(appliance))
    try:
        yield appliance
    finally:
        rotating.cancel()
        appliance.recorder.close()
        await appliance.keeper.close()
        store.close()


async def _work(listener: socket.socket, database: str, keeper: Path, tls: TLSFiles) -> None:
    async with open_appliance(database, keeper) as appliance:
        config = uvicorn.Config(
            api.build(appliance),
            http=JoinedProtocol,
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ssl_certfile=tls.certificate,
            ssl_keyfile=tls.key,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        config.load()
        assert config.ssl is not None  # noqa: S101 - there are certificate and key
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        server = uvicorn.Server(config)
        asyncio.get_running_loop().add_reader(0, _stop, server)  # the supervisor is gone
        gc.freeze()  # what is here now stays; the collector need not walk through it again and again
        gc.set_threshold(10_000, 50, 50)
        await server.serve(sockets=[listener])


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True


def main() -> None:
    """Run one API worker; `privyseal serve` starts it."""
    parser = argparse.ArgumentParser(prog="privyseal-worker")
    for name in ("--listener", "--keeper", "--tls"):
        parser.add_argument(name, required=True)
    words = parser.parse_args()
    logging.basicConfig(format="%(name)s: %(message)s")
    harden_worker()
    listener = socket.socket(fileno=int(words.listener))
    database = os.environ.pop("PRIVYSEAL_DATABASE")  # it may hold a password, so it does not come as an argument
    work = _work(listener, database, Path(words.keeper), TLSFiles(Path(words.tls)))
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(work)


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - only a worker needs it

    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
