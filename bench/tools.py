"""The programs that the benchmark runs: the appliance, wrk, openssl, SoftHSM2, and a clock on processes.

Always true: everything listens on loopback, ends by itself or by its process number, and is bounded in time.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.appliance import PIN, Appliance  # noqa: E402 - the tests' own way to run an appliance

MODULE = ROOT / "build" / "privyseal-pkcs11.so"
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What wrk measured: requests per second, its 99th percentile in milliseconds, and its own processor time."""

    per_second: float
    p99: float
    cores: float


def run(*words: str | Path, text: str | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program to its end and give its output; an exit status other than 0 ends the benchmark."""
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, check=True, timeout=300, env={**os.environ, **(env or {})}
    )
    return done.stdout


def openssl_speed(seconds: int) -> float:
    """Signatures per second of `openssl speed ecdsap256` on one core, the unit of every ratio."""
    return float(run("openssl", "speed", "-seconds", str(seconds), "ecdsap256").splitlines()[-1].split()[-2])


def bare_loop(key: str, seconds: float, processes: int) -> float:
    """Signatures per second of a loop around `cryptography` alone, in as many processes."""
    program = (
        "import sys, time\n"
        "from cryptography.hazmat.primitives import hashes\n"
        "from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils\n"
        "kind, seconds = sys.argv[1], float(sys.argv[2])\n"
        "rsa_ = kind == 'rsa:4096'\n"
        "key = rsa.generate_private_key(65537, 4096) if rsa_ else ec.generate_private_key(ec.SECP256R1())\n"
        "hashed = utils.Prehashed(hashes.SHA256())\n"
        "words = (padding.PKCS1v15(), hashed) if rsa_ else (ec.ECDSA(hashed),)\n"
        "sys.stdin.readline(); count = 0; end = time.monotonic() + seconds\n"
        "while time.monotonic() < end: key.sign(bytes(32), *words); count += 1\n"
        "print(count / seconds)\n"
    )
    words = [sys.executable, "-c", program, key, str(seconds)]
    loops = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for loop in loops:
        assert loop.stdin is not None
        loop.stdin.write("go\n")
        loop.stdin.flush()
    return sum(float(loop.communicate(timeout=60)[0]) for loop in loops)


class Server:
    """An appliance with alice, who may sign with everything, and the keys `ec` and `rsa`."""

    def __init__(self, workers: int, cores: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="privyseal-bench-"))
        self.appliance = Appliance(self.folder, "--workers", str(workers))
        mine = os.sched_getaffinity(0)
        if cores is not None:
            os.sched_setaffinity(0, {int(core) for core in cores.split(",")})  # children start with it
        self.appliance.start()
        os.sched_setaffinity(0, mine)
        self.appliance.add_user("alice")
        self.appliance.add_rule("alice", "*")
        for label, key_type in (("ec", "ec:P-256"), ("rsa", "rsa:4096")):
            self.appliance.add_key(label, key_type)
        answer = self.appliance.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").json()
        self.ticket: str = answer["ticket"]

    def stop(self) -> None:
        """End it and remove its data."""
        self.appliance.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[int]:
        """The keeper's and the workers' process numbers."""
        return [self.appliance.keeper_process(), *self.appliance.worker_processes()]

    def load(self, key: str, body: dict[str, Any], verb: str, connections: int, seconds: int) -> Load:
        """Let wrk send one request over and over; any answer but 200 ends the benchmark."""
        credentials = base64.b64encode(f"alice:{self.appliance.passwords['alice']}".encode()).decode()
        script = self.folder / "request.lua"
        text = json.dumps(body | {"ticket": self.ticket})
        script.write_text(
            f'wrk.method = "POST"\nwrk.headers["Authorization"] = "Basic {credentials}"\nwrk.body = [[{text}]]\n'
        )
        url = f"{self.appliance.url}/api/v1/cores/1/keys/{key}/{verb}"
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", str(script), url]
        before = os.times()
        output = run(*words)
        after = os.times()
        if "Non-2xx" in output or "Socket errors" in output:
            raise SystemExit(f"the appliance refused: {output}")
        used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
        return Load(_number(output, r"Requests/sec:\s+([\d.]+)"), _milliseconds(output), used / seconds)


def busy(processes: list[int]) -> float:
    """The processor seconds that processes have used."""
    return sum(_ticks(process) for process in processes) / TICKS


def resident(processes: list[int]) -> float:
    """The memory that processes hold, in MiB."""
    pages = sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in processes)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def host_environment(folder: Path, appliance: Appliance) -> dict[str, str]:
    """Write a signing host's configuration; give the environment that finds it."""
    configuration = {
        "url": appliance.url,
        "user": "alice",
        "pass": appliance.passwords["alice"],
        "core": 1,
        "ca_file": str(appliance.ca_file),
    }
    path = folder / "client.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(configuration))
    return {"PRIVYSEAL_CONFIG": str(path)}


def softhsm_environment(folder: Path) -> dict[str, str]:
    """Make a SoftHSM2 token with one P-256 key; give the environment that finds it."""
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(configuration)}
    token = ["--token", "bench", "--pin", PIN]
    run("softhsm2-util", "--init-token", "--free", "--label", "bench", "--so-pin", PIN, "--pin", PIN, env=environment)
    made = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "ec", "--id", "01"]
    run("pkcs11-tool", "--module", SOFTHSM, "--login", *token, *made, env=environment)
    return environment


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found[1])


def _milliseconds(output: str) -> float:
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", output)
    assert found is not None, output
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
