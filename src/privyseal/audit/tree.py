"""The Merkle tree over the record (RFC 9162, section 2.1; the same tree as RFC 6962).

Nothing here reads or writes anything: hashes come in and hashes go out. A tree is known by its right edge, the roots
of the complete subtrees from the largest to the smallest, which is all that appending needs. `Nodes` gives the inside
of a tree to those who make proofs; whoever checks one needs only the proof.

Places are counted from 0, as in the RFC; the event with number N is the leaf at place N - 1.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

HASH_LENGTH = 32
KEPT_EVERY = 8
"""Every 8th level of inner nodes is kept, so that a proof reads at most 256 hashes of each kept level."""

EMPTY_ROOT = sha256(b"").digest()
Hash = bytes


class ProofError(ValueError):
    """A proof does not show what it should."""


class Nodes(Protocol):
    """The inside of a tree, as far as it is complete."""

    def span(self, level: int, first: int, last: int) -> Sequence[Hash]:
        """Give the hashes at the places `first` to before `last` of a kept level; level 0 has the leaves' hashes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A complete node of a kept level."""

    level: int
    place: int
    hash: Hash


def leaf_hash(leaf: bytes) -> Hash:
    """Hash one leaf."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    """Hash two neighbours into the node above them."""
    return sha256(b"\1" + left + right).digest()


@dataclass(slots=True)
class Edge:
    """The right edge of a tree: its size, and the roots of its complete subtrees from the left to the right."""

    size: int = 0
    roots: list[Hash] = field(default_factory=list)

    @classmethod
    def read(cls, size: int, kept: bytes) -> "Edge":
        """Read what `write` wrote; raises ProofError when its length does not fit the size."""
        roots = [kept[start : start + HASH_LENGTH] for start in range(0, len(kept), HASH_LENGTH)]
        if len(kept) != HASH_LENGTH * size.bit_count():
            raise ProofError("the right edge of the tree does not fit its size")
        return cls(size, roots)

    def write(self) -> bytes:
        """Write the roots down, one after the other."""
        return b"".join(self.roots)

    def append(self, leaf: Hash) -> list[Kept]:
        """Append one leaf's hash; gives the nodes of kept levels above the leaves that it completed."""
        kept: list[Kept] = []
        place, level, roots = self.size, 0, self.roots
        while place & 1:
            leaf = sha256(b"\1" + roots.pop() + leaf).digest()
            place >>= 1
            level += 1
            if level % KEPT_EVERY == 0:
                kept.append(Kept(level, place, leaf))
        roots.append(leaf)
        self.size += 1
        return kept

    def root(self) -> Hash:
        """Give the root of the tree."""
        return _join(self.roots) if self.roots else EMPTY_ROOT


def root_of(leaves: Iterable[Hash]) -> Hash:
    """Give the root of a tree with these leaves' hashes."""
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


def inclusion_proof(nodes: Nodes, place: int, size: int) -> list[Hash]:
    """Show that the leaf at `place` is in the tree of `size` (RFC 9162, section 2.1.3.1). Raises ProofError."""
    if not 0 <= place < size:
        raise ProofError(f"a tree of {size} has no leaf at {place}")
    return _Reader(nodes, size).path(place, 0, size)


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[Hash]:
    """Show that the first `old` leaves of the tree of `new` are the tree of `old` (section 2.1.4.1)."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} has no beginning of {old}")
    return [] if old in (0, new) else _Reader(nodes, new).subproof(old, 0, new, whole=True)


def check_inclusion(leaf: Hash, place: int, size: int, proof: Sequence[Hash], root: Hash) -> None:
    """Check that a leaf is in a tree (section 2.1.3.2); raises ProofError unless it is."""
    if not 0 <= place < size:
        raise ProofError(f"a tree of {size} has no leaf at {place}")
    node, last, found = place, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofError("the proof is too short")
    _same(found, root)


def check_consistency(old: int, new: int, proof: Sequence[Hash], old_root: Hash, new_root: Hash) -> None:
    """Check that one tree begins with another (section 2.1.4.2); raises ProofError unless it does."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} has no beginning of {old}")
    if old in (0, new):
        if proof:
            raise ProofError("the proof is too long")
        _same(old_root, new_root if old else EMPTY_ROOT)
        return
    if not proof:
        raise ProofError("the proof is too short")
    _walk(old, new, list(proof), old_root, new_root)


def _walk(old: int, new: int, proof: list[Hash], old_root: Hash, new_root: Hash) -> None:
    """Walk both trees' right edges at once; steps 2 to 7 of section 2.1.4.2."""
    if old & (old - 1) == 0:
        proof.insert(0, old_root)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found_old = found_new = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if node & 1 or node == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofError("the proof is too short")
    _same(found_old, old_root)
    _same(found_new, new_root)


def _same(found: Hash, root: Hash) -> None:
    if not hmac.compare_digest(found, root):
        raise ProofError("the proof leads to another root")


def _join(roots: Sequence[Hash]) -> Hash:
    """Hash neighbouring subtrees together from the right, which is how the RFC's uneven trees are built."""
    found = roots[-1]
    for root in reversed(roots[:-1]):
        found = node_hash(root, found)
    return found


def _split(count: int) -> int:
    """Give the largest power of two below `count` (the RFC's k)."""
    return 1 << (count - 1).bit_length() - 1


class _Reader:
    """Subtrees of a tree of `size`, computed from the kept levels."""

    def __init__(self, nodes: Nodes, size: int) -> None:
        self._nodes = nodes
        self._size = size

    def path(self, place: int, first: int, last: int) -> list[Hash]:
        """PATH of the RFC, of the leaves from `first` to before `last`."""
        if last - first == 1:
            return []
        middle = first + _split(last - first)
        if place < middle:
            return [*self.path(place, first, middle), self.subtree(middle, last)]
        return [*self.path(place, middle, last), self.subtree(first, middle)]

    def subproof(self, old: int, first: int, last: int, *, whole: bool) -> list[Hash]:
        """SUBPROOF of the RFC; `whole` says that the subtree is the old tree itself."""
        if old == last:
            return [] if whole else [self.subtree(first, last)]
        middle = first + _split(last - first)
        if old <= middle:
            return [*self.subproof(old, first, middle, whole=whole), self.subtree(middle, last)]
        return [*self.subproof(old, middle, last, whole=False), self.subtree(first, middle)]

    def subtree(self, first: int, last: int) -> Hash:
        """Give the root over the leaves from `first` to before `last`, where a subtree of the RFC begins and ends."""
        level = (last - first).bit_length() - 1
        level -= level % KEPT_EVERY
        hashes: list[Hash] = []
        while first < last:
            until = last - last % (1 << level)
            hashes += self._complete(level, first, until)
            first, level = until, level - KEPT_EVERY
        return _join(hashes)

    def _complete(self, level: int, first: int, last: int) -> list[Hash]:
        """Give the roots of the complete subtrees of a run of nodes of one kept level, from the left to the right."""
        edge = Edge()
        for node in self._nodes.span(level, first >> level, last >> level) if first < last else ():
            edge.append(node)
        return edge.roots
