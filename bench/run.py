"""`make bench`: what signing costs here, beside `openssl speed` and SoftHSM2 in the same rounds.

Absolute figures drift by a quarter within the hour, so every row is a ratio within its round, and the table shows
the median over the rounds with the least and the greatest. A round in which wrk had no core left is thrown away.
"""

import argparse
import base64
import json
import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import tools
from rows import ROWS
from tools import MODULE, PIN, ROOT, SOFTHSM, Server

DIGEST = base64.b64encode(bytes(range(32))).decode()
SINGLE = {"hash": "SHA-256", "digest": DIGEST}
BATCH = {"hash": "SHA-256", "digests": [DIGEST] * 100}
STARVED = 0.95  # of a core that wrk used by itself: then wrk was the limit


class Bench:
    """The figures so far, by row, one for each round that counts."""

    def __init__(self, *, quick: bool) -> None:
        self.rounds = 1 if quick else 5
        self.seconds = 1 if quick else 3
        self.keys = 20_000 if quick else 1_000_000
        self.shots = 5 if quick else 40
        self.figures: dict[str, list[float]] = defaultdict(list)
        self.values: dict[str, list[float]] = defaultdict(list)
        self.notes: dict[str, str] = {}
        self.starved = 0
        self.folder = Path(tempfile.mkdtemp(prefix="privyseal-bench-"))

    def add(self, row: str, value: float, unit: float) -> None:
        """Keep one round's figure: the value, and its ratio to the unit measured beside it."""
        self.values[row].append(value)
        self.figures[row].append(value / unit)

    def signing(self, row: str, server: Server, unit: float, *, key: str = "ec", batch: bool = False) -> None:
        """Measure signatures by REST against `unit` signatures per second."""
        before = tools.busy(server.processes())
        body, verb, connections = (BATCH, "sign-batch", 16) if batch else (SINGLE, "sign", 32)
        load = server.load(key, body, verb, connections, self.seconds)
        used = (tools.busy(server.processes()) - before) / self.seconds
        if load.cores > STARVED:
            self.starved += 1
            return
        self.add(row, load.per_second * (100 if batch else 1), unit)
        self.notes[row] = f"p99 {load.p99:.1f} ms; server {used:.2f} cores, wrk {load.cores:.2f}"

    def everything(self) -> None:
        """Run all rows."""
        both = Server(os.cpu_count() or 1)
        one = Server(1, cores="0")
        try:
            self.signatures(both, one)
            self.module(both)
            self.one_shot(both)
            self.restart(both)
        finally:
            both.stop()
            one.stop()
        self.million()
        shutil.rmtree(self.folder)

    def signatures(self, both: Server, one: Server) -> None:
        """Signatures by REST, in interleaved rounds."""
        cores = os.cpu_count() or 1
        for _ in progress("REST", self.rounds):
            unit = tools.openssl_speed(1)
            self.add("openssl speed", unit, unit)
            self.add("bare cryptography loop", tools.bare_loop("ec:P-256", self.seconds, 1), unit)
            self.signing("one signature per request", both, unit)
            self.signing("batches of 100", both, unit, batch=True)
            self.signing("RSA-4096", both, tools.bare_loop("rsa:4096", self.seconds, cores), key="rsa")
            single = one.load("ec", BATCH, "sign-batch", 16, self.seconds).per_second
            self.add("two workers over one", both.load("ec", BATCH, "sign-batch", 16, self.seconds).per_second, single)

    def module(self, server: Server) -> None:
        """The PKCS#11 module with threads, beside SoftHSM2 in the caller's process."""
        program = self.folder / "p11speed"
        tools.run("cc", "-O2", "-pthread", "-o", program, ROOT / "bench" / "p11speed.c")
        server.appliance.api("PUT", "/cores/1", {"destroy_days": 0})
        server.appliance.api(
            "DELETE", "/cores/1/keys/rsa?now=true"
        )  # the program signs with the first key that it finds
        ours = tools.host_environment(self.folder, server.appliance)
        theirs = tools.softhsm_environment(self.folder)
        for _ in progress("PKCS#11", self.rounds):
            unit = tools.openssl_speed(1)
            for row, module, threads, environment in (
                ("PKCS#11, 16 threads", MODULE, 16, ours),
                ("PKCS#11, 1 thread", MODULE, 1, ours),
                ("SoftHSM2 in process, 1 thread", SOFTHSM, 1, theirs),
                ("SoftHSM2 in process, 16 threads", SOFTHSM, 16, theirs),
            ):
                words = (program, module, str(threads), str(self.seconds))
                self.add(row, float(tools.run(*words, text=PIN, env=environment)), unit)

    def one_shot(self, server: Server) -> None:
        """`openssl dgst -sign` as a whole process: our module, SoftHSM2, and a key file."""
        file = self.folder / "file"
        file.write_bytes(bytes(1000))
        key = self.folder / "key.pem"
        tools.run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        ways: dict[str, tuple[list[str | Path], dict[str, str]]] = {
            "openssl dgst with a key file": ([key], {}),
            "openssl dgst through the module": self.engine(
                MODULE, "core1", tools.host_environment(self.folder, server.appliance)
            ),
            "openssl dgst through SoftHSM2": self.engine(
                SOFTHSM, "bench", {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}
            ),
        }
        taken: dict[str, list[float]] = defaultdict(list)
        for _ in progress("one shot", self.shots):
            for row, (words, environment) in ways.items():
                start = time.perf_counter()
                tools.run(
                    "openssl", "dgst", "-sha256", "-out", self.folder / "sig", "-sign", *words, file, env=environment
                )
                taken[row].append(1000 * (time.perf_counter() - start))
        unit = statistics.median(taken["openssl dgst with a key file"])
        for row, times in taken.items():
            self.add(row, statistics.median(times), unit)

    def engine(self, module: Path, token: str, environment: dict[str, str]) -> tuple[list[str | Path], dict[str, str]]:
        """The words and environment that sign through the engine."""
        uri = f"pkcs11:token={token};object=ec?pin-value={PIN}"
        words: list[str | Path] = [uri, "-engine", "pkcs11", "-keyform", "engine"]
        return words, {**environment, "PKCS11_MODULE_PATH": str(module), "OPENSSL_CONF": "/dev/null"}

    def restart(self, server: Server) -> None:
        """From start to `ready` on data that is there."""
        for _ in progress("start", self.rounds):
            server.appliance.stop()
            start = time.perf_counter()
            server.appliance.start()
            self.add("start to ready", time.perf_counter() - start, 1.0)

    def million(self) -> None:
        """Find a key by label among very many, by REST and by PKCS#11."""
        server = Server(1)
        try:
            fill(server.appliance.data / "privyseal.db", self.keys)
            workers = server.appliance.worker_processes()
            before = tools.resident(workers)
            for number in progress("many keys", 20):
                start = time.perf_counter()
                found = server.appliance.api("GET", f"/cores/1/keys?label=filler-{number * 997}", user="alice").json()
                self.add("find by label, REST", 1000 * (time.perf_counter() - start), 1.0)
                assert len(found["keys"]) == 1, found
            self.notes["find by label, REST"] = (
                f"{self.keys:,} keys; worker's memory {before:.0f} to {tools.resident(workers):.0f} MiB"
            )
            self.find_by_module(server)
        finally:
            server.stop()

    def find_by_module(self, server: Server) -> None:
        """The same through the module: a search by label in a session that is open."""
        program = self.folder / "p11find"
        tools.run("cc", "-O2", "-pthread", "-o", program, ROOT / "bench" / "p11find.c")
        environment = tools.host_environment(self.folder, server.appliance)
        taken = tools.run(program, MODULE, text=PIN, env=environment).split()
        for milliseconds in taken:
            self.add("find by label, PKCS#11", float(milliseconds), 1.0)


def fill(database: Path, count: int) -> None:
    """Put rows beside the real keys, as many as asked, in the shape of the real one."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.row_factory = sqlite3.Row
        real = dict(connection.execute("SELECT * FROM keys WHERE label = 'ec'").fetchone())
        del real["number"]
        rows = (
            real | {"id": f"{number:016x}", "object_id": f"{number:016x}", "label": f"filler-{number}"}
            for number in range(count)
        )
        names = ", ".join(f":{name}" for name in real)
        connection.executemany(f"INSERT INTO keys ({', '.join(real)}) VALUES ({names})", rows)  # noqa: S608 - ours


def progress(name: str, count: int) -> range:
    """Say what is measured now."""
    print(f"measuring {name}, {count} rounds", flush=True)
    return range(count)


def result(bench: Bench) -> dict[str, object]:
    """Everything that was measured, as it is written to results.json."""
    rows = []
    for row in ROWS:
        ratios, values = bench.figures[row.name], bench.values[row.name]
        if not ratios:
            continue
        ratio = statistics.median(ratios)
        reached = None if row.reach is None else (ratio >= row.reach if row.more_is_better else ratio <= row.reach)
        rows.append(
            {
                "name": row.name,
                "value": round(statistics.median(values), 2),
                "unit": row.unit,
                "ratio": round(ratio, 3),
                "least": round(min(ratios), 3),
                "greatest": round(max(ratios), 3),
                "to": row.to,
                "reach": row.reach,
                "met": reached,
                "rounds": len(ratios),
                "note": bench.notes.get(row.name, ""),
            }
        )
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.platform()}
    versions = {"openssl": tools.run("openssl", "version").strip(), "python": platform.python_version()}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"time": when, "machine": machine, "versions": versions, "starved_rounds": bench.starved, "rows": rows}


def table(results: dict[str, object]) -> str:
    """The same as a table for people."""
    lines = ["| row | median | ratio (least to greatest) | to | reach | |", "|---|---|---|---|---|---|"]
    rows: list[dict[str, object]] = results["rows"]  # type: ignore[assignment]  # as `result` made them
    for row in rows:
        verdict = {True: "reached", False: "**not reached**", None: ""}[row["met"]]  # type: ignore[index]  # a bool
        ratio = f"{row['ratio']} ({row['least']} to {row['greatest']})"
        note = f"{verdict}. {row['note']}" if row["note"] else verdict
        reach = "" if row["reach"] is None else row["reach"]
        lines.append(f"| {row['name']} | {row['value']:,} {row['unit']} | {ratio} | {row['to']} | {reach} | {note} |")
    return "\n".join(lines)


def write(results: dict[str, object], folder: Path, page: Path | None) -> None:
    """Write results.json, and the table between the page's markers."""
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    if page is not None:
        head, _, rest = page.read_text().partition("<!-- table -->\n")
        _, _, tail = rest.partition("<!-- end -->")
        page.write_text(f"{head}<!-- table -->\n{table(results)}\n\nMeasured {results['time']}.\n<!-- end -->{tail}")


def main() -> None:
    """Measure, print and write."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--quick", action="store_true", help="one short round, to see that it works; the table stays")
    words.add_argument("--out", type=Path, default=ROOT / "bench", help="where results.json goes")
    given = words.parse_args()
    bench = Bench(quick=given.quick)
    start = time.monotonic()
    bench.everything()
    results = result(bench)
    write(results, given.out, None if given.quick else ROOT / "docs" / "reference" / "performance.md")
    print(table(results))
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
