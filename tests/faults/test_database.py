"""The database server is killed and comes back while clients sign: nothing is lost, and nobody waits for ever."""

from collections.abc import Callable, Iterator

import pytest

from faults.load import Clients, compare, new
from faults.soak import TIMEOUT, times
from faults.witness import Witness
from support.appliance import Appliance
from support.postgresql import PostgreSQL

pytestmark = pytest.mark.timeout(TIMEOUT)


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of the test's own, because it is killed."""
    started = PostgreSQL()
    try:
        started.start()
        yield started
    finally:
        started.stop()


def test_the_database_goes_away_and_returns(server: PostgreSQL, new_appliance: Callable[..., Appliance]) -> None:
    """Kill -9 of the whole server, in the middle of commits: 503 meanwhile, and the same processes go on."""
    database = server.new_database()
    appliance = new(new_appliance("--workers", "2", "--database", database))
    clients, witness = Clients(appliance), Witness(appliance)
    workers = appliance.worker_processes()
    with clients.busy():
        for _ in range(times(3)):
            clients.wait_for(20)
            clients.told.statuses.clear()
            server.kill()
            clients.wait_until(lambda: 503 in clients.told.statuses)
            server.start_again()
            clients.wait_for(20)
            witness.keep()
    assert clients.told.statuses <= {200, 201, 503}
    assert appliance.worker_processes() == workers
    compare(appliance, clients.told, database)
    witness.verify()
