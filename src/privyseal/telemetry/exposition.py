"""Prometheus' text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)."""

from collections.abc import Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FAMILIES = {
    "privyseal_build_info": ("gauge", "Version of the program; the value is always 1."),
    "privyseal_certificate_expiry_seconds": ("gauge", "When the TLS certificate ends, seconds since the epoch."),
    "privyseal_clock_synchronised": ("gauge", "Whether the kernel says that the clock is synchronised."),
    "privyseal_clock_set_back_total": ("counter", "How often the clock was found to be set back."),
    "privyseal_events_total": ("counter", "Events in the record, of all nodes."),
    "privyseal_keeper_cache_hits_total": ("counter", "Uses of keys that were open already."),
    "privyseal_keeper_cache_misses_total": ("counter", "Uses of keys that had to be opened."),
    "privyseal_keeper_keys": ("gauge", "Keys that the keeper holds open."),
    "privyseal_keeper_queue": ("gauge", "Requests that wait for the keeper, in all workers."),
    "privyseal_operation_seconds": ("histogram", "How long operations took, from the request read to the answer made."),
    "privyseal_operations_total": ("counter", "Operations by mechanism and outcome."),
    "privyseal_record_commit_seconds": ("histogram", "How long writing a group of events took."),
    "privyseal_recorder_queue": ("gauge", "Entries that wait to be recorded, in all workers."),
    "privyseal_reloads_total": ("counter", "How often workers have read certificate and settings anew on SIGHUP."),
    "privyseal_restarts_total": ("counter", "How often a process that died was started again."),
    "privyseal_unlocked": ("gauge", "Whether signatures can be made."),
    "privyseal_workers": ("gauge", "API workers of this node."),
}
_NANO = 1e9


def text(samples: Mapping[str, float]) -> str:
    """Write samples, whose names have their labels already; family by family, as the format wants it."""
    lines: list[str] = []
    for family, (kind, words) in FAMILIES.items():
        mine = {name: value for name, value in samples.items() if _family(name) == family}
        if mine:
            lines += [f"# HELP {family} {words}", f"# TYPE {family} {kind}"]
            lines += (
                _histogram(mine) if kind == "histogram" else [f"{name} {value:.16g}" for name, value in mine.items()]
            )
    return "\n".join(lines) + "\n"


def escaped(value: str) -> str:
    """Write a label's value."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _family(name: str) -> str:
    plain = name.partition("{")[0]
    for ending in ("_bucket", "_sum"):
        if plain.endswith(ending) and plain.removesuffix(ending) in FAMILIES:
            return plain.removesuffix(ending)
    return plain


def _histogram(samples: Mapping[str, float]) -> Iterator[str]:
    """Make buckets cumulative. Those of one histogram stand together, and `+Inf` is the last."""
    running = 0.0
    for name, value in samples.items():
        plain, _, labels = name.partition("{")
        if plain.endswith("_sum"):
            yield f"{name} {value / _NANO:.16g}"
            continue
        running += value
        yield f"{name} {running:.16g}"
        if labels.endswith('le="+Inf"}'):
            others = labels.removesuffix("}").rpartition("le=")[0].rstrip(",")
            yield f"{plain.removesuffix('_bucket')}_count" + (f"{{{others}}}" if others else "") + f" {running:.16g}"
            running = 0.0
