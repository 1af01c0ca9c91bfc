"""A reader of Prometheus' text format 0.0.4 that is stricter than Prometheus: what it does not expect, it refuses."""

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = rf'({_NAME[:-1].replace(":", "")}*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? ([0-9.e+-]+|\+Inf|NaN)")


@dataclass
class Family:
    """One metric: its kind, its words, its samples by name and labels."""

    kind: str
    words: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def value(self, ending: str = "", **labels: str) -> float:
        """The sum of the samples whose labels include these."""
        return sum(
            value
            for (name, found), value in self.samples.items()
            if name.endswith(ending) and labels.items() <= dict(found).items()
        )


def parse(text: str) -> dict[str, Family]:
    """Read a whole answer; ValueError where it is not right."""
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    families: dict[str, Family] = {}
    words: tuple[str, str] | None = None
    current: str | None = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, rest = line.split(" ", 3)
            words = (name, rest)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if words is None or words[0] != name or name in families or kind not in ("counter", "gauge", "histogram"):
                raise ValueError(line)
            families[name] = Family(kind, words[1])
            current = name
        else:
            _add(families, current, line)
    for family in families.values():
        if family.kind == "histogram":
            _check_histogram(family)
    return families


def _add(families: dict[str, Family], current: str | None, line: str) -> None:
    found = _SAMPLE.fullmatch(line)
    if found is None or current is None:
        raise ValueError(line)
    name, labels, value = found.groups()
    endings = ("_bucket", "_sum", "_count") if families[current].kind == "histogram" else ("",)
    pairs = re.findall(_LABEL, labels or "")
    if ",".join(f'{key}="{text}"' for key, text in pairs) != (labels or ""):
        raise ValueError(line)
    mark = (name, tuple(pairs))
    if name not in {current + ending for ending in endings} or mark in families[current].samples:
        raise ValueError(line)
    families[current].samples[mark] = float(value)


def _check_histogram(family: Family) -> None:
    """Buckets never fall, the last is +Inf and equals the count, and there is a sum."""
    groups: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for (name, labels), value in family.samples.items():
        if name.endswith("_bucket"):
            others = tuple(pair for pair in labels if pair[0] != "le")
            groups.setdefault(others, []).append((float(dict(labels)["le"]), value))
    for labels, buckets in groups.items():
        bounds, values = [bound for bound, _ in buckets], [value for _, value in buckets]
        plain = next(name for name, _ in family.samples).removesuffix("_bucket").removesuffix("_sum")
        count, _ = family.samples[plain + "_count", labels], family.samples[plain + "_sum", labels]
        if bounds != sorted(bounds) or bounds[-1] != float("inf") or values != sorted(values) or values[-1] != count:
            raise ValueError(f"{plain} {labels}: {buckets}")
