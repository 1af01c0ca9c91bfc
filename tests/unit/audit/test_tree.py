"""The tree is the one of RFC 9162, by published vectors and by the RFC's own recursive definition."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.audit import tree

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "merkle-tree.json").read_text(encoding="utf-8")
)
LEAVES = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]


def root_by_definition(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    left, right = root_by_definition(leaves[:k]), root_by_definition(leaves[k:])
    return hashlib.sha256(b"\1" + left + right).digest()


class Whole:
    """A tree with all its kept levels in memory; counts what is read from it."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.edge = tree.Edge()
        self.levels: dict[int, list[bytes]] = {0: []}
        self.read = 0
        for leaf in leaves:
            self.append(tree.leaf_hash(leaf))

    def append(self, leaf: bytes) -> None:
        """Append a leaf's hash."""
        self.levels[0].append(leaf)
        for kept in self.edge.append(leaf):
            assert kept.place == len(self.levels.setdefault(kept.level, []))
            self.levels[kept.level].append(kept.hash)

    def span(self, level: int, first: int, last: int) -> Sequence[bytes]:
        """As `tree.Nodes`."""
        self.read += last - first
        found = self.levels[level][first:last]
        assert len(found) == last - first
        return found


def leaves_of(count: int) -> list[bytes]:
    """So many leaves, all different."""
    return [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """Of the trees of the first so many leaves."""
    assert tree.root_of(map(tree.leaf_hash, LEAVES[:size])).hex() == VECTORS["roots"][size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"])
def test_published_inclusion_proofs(vector: dict[str, Any]) -> None:
    """They are the ones that we make, and they hold."""
    proof = [bytes.fromhex(each) for each in vector["proof"]]
    assert tree.inclusion_proof(Whole(LEAVES), vector["place"], vector["size"]) == proof
    root = bytes.fromhex(VECTORS["roots"][vector["size"]])
    tree.check_inclusion(tree.leaf_hash(LEAVES[vector["place"]]), vector["place"], vector["size"], proof, root)


@pytest.mark.parametrize("vector", VECTORS["consistency"])
def test_published_consistency_proofs(vector: dict[str, Any]) -> None:
    """They are the ones that we make, and they hold."""
    proof = [bytes.fromhex(each) for each in vector["proof"]]
    old, new = vector["old"], vector["new"]
    assert tree.consistency_proof(Whole(LEAVES), old, new) == proof
    tree.check_consistency(old, new, proof, *(bytes.fromhex(VECTORS["roots"][size]) for size in (old, new)))


@given(leaves=st.lists(st.binary(max_size=9), max_size=40))
def test_the_edge_gives_the_root_of_the_definition(leaves: list[bytes]) -> None:
    """Also after it was written down and read again."""
    edge = Whole(leaves).edge
    assert tree.Edge.read(edge.size, edge.write()).root() == root_by_definition(leaves)


BIG = Whole(leaves_of(70_000))


@cache
def root_at(size: int) -> bytes:
    """The root that the big tree had when it had this size."""
    return tree.root_of(BIG.levels[0][:size])


@settings(deadline=None, max_examples=60)
@given(size=st.one_of(st.integers(1, 600), st.sampled_from([65_535, 65_536, 65_537, 66_048, 70_000])), data=st.data())
def test_inclusion_proofs_hold_and_only_for_what_they_show(size: int, data: st.DataObject) -> None:
    """For any leaf of a tree; not for another leaf, place or root, nor longer or shorter; read from few hashes."""
    place = data.draw(st.integers(0, size - 1))
    leaf, root = BIG.levels[0][place], root_at(size)
    BIG.read = 0
    proof = tree.inclusion_proof(BIG, place, size)
    assert BIG.read <= 256 * 4
    tree.check_inclusion(leaf, place, size, proof, root)
    other = hashlib.sha256(root).digest()
    wrong = [
        (other, place, size, proof, root),
        (leaf, place, size, proof, other),
        (leaf, place, size, [*proof, other], root),
        (leaf, size, size, proof, root),
    ]
    wrong += [(leaf, place, size, proof[:-1], root), (leaf, place, size, [other, *proof[1:]], root)] if proof else []
    wrong += [(leaf, place ^ 1, size, proof, root)] if place ^ 1 < size else []
    for case in wrong:
        with pytest.raises(tree.ProofError):
            tree.check_inclusion(*case)


@settings(deadline=None, max_examples=60)
@given(new=st.one_of(st.integers(1, 600), st.sampled_from([65_536, 66_048, 70_000])), data=st.data())
def test_consistency_proofs_hold_and_only_for_what_they_show(new: int, data: st.DataObject) -> None:
    """For any beginning of a tree; not for another root of either, nor longer or shorter."""
    old = data.draw(st.integers(0, new))
    roots = root_at(old), root_at(new)
    BIG.read = 0
    proof = tree.consistency_proof(BIG, old, new)
    assert BIG.read <= 256 * 4
    tree.check_consistency(old, new, proof, *roots)
    other = hashlib.sha256(roots[1]).digest()
    wrong = [
        (old, new, proof, other, roots[1]),
        (old, new, [*proof, other], *roots),
        (new + 1, new, proof, *roots),
    ]
    wrong += [(old, new, proof, roots[0], other)] if old else []
    wrong += [(old, new, proof[:-1], *roots), (old, new, [other, *proof[1:]], *roots)] if proof else []
    for case in wrong:
        with pytest.raises(tree.ProofError):
            tree.check_consistency(*case)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    """Places beyond the end, and beginnings longer than the whole."""
    small = Whole(leaves_of(3))
    for place in (-1, 3):
        with pytest.raises(tree.ProofError):
            tree.inclusion_proof(small, place, 3)
    with pytest.raises(tree.ProofError):
        tree.consistency_proof(small, 4, 3)
    with pytest.raises(tree.ProofError):
        tree.check_consistency(1, 2, [], bytes(32), bytes(32))


def test_a_damaged_edge_is_not_read() -> None:
    """Its length has to fit the size."""
    with pytest.raises(tree.ProofError):
        tree.Edge.read(3, bytes(32))


def test_a_consistency_proof_with_more_behind_its_end() -> None:
    """Whatever stands behind the last sibling, the root is reached before it."""
    proof = [b"\0" * 32] * 9
    with pytest.raises(tree.ProofError, match="too long"):
        tree.check_consistency(1, 2, proof, b"\1" * 32, b"\2" * 32)
