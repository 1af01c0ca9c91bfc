"""What a process gives up at its start, so that a break-in finds less. Linux only; every step may be refused.

Each function says whether its protection is in force and never raises: where a kernel or a container does not allow
one, the report that `GET /info` shows says so, and the rest still holds.
"""

import contextlib
import ctypes
import platform
import resource
import struct

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_DUMPABLE = 4  # <linux/prctl.h>
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_MCL_CURRENT_AND_FUTURE = 3
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63


def deny_dumps() -> bool:
    """Write no core dump and let no process of the same user read this one's memory (prctl(2), PR_SET_DUMPABLE)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return bool(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def deny_new_privileges() -> bool:
    """Gain nothing from set-user-id programs any more."""
    return bool(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def drop_capabilities() -> bool:
    """Give up every capability, CAP_SYS_PTRACE above all: root without it cannot read the keeper's memory."""
    for capability in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    return bool(_libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)) == 0)


def lock_memory() -> bool:
    """Keep all pages out of swap. Only without a limit on it: below one, later allocations would fail."""
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with contextlib.suppress(ValueError, OSError):  # root may raise the limit, others keep theirs
        resource.setrlimit(resource.RLIMIT_MEMLOCK, infinite)
    if resource.getrlimit(resource.RLIMIT_MEMLOCK) != infinite:
        return False
    return bool(_libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0)


_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7  # AUDIT_ARCH_*, <linux/audit.h>
_SOCKET = {"x86_64": 41, "aarch64": 198}
_CONNECT = {"x86_64": 42, "aarch64": 203}
_BIND = {"x86_64": 49, "aarch64": 200}
_OTHERS = {  # execve, execveat, ptrace, process_vm_readv, process_vm_writev, io_uring_setup
    "x86_64": (59, 322, 101, 310, 311, 425),
    "aarch64": (221, 281, 117, 270, 271, 425),
}
_ARCHITECTURE = {"x86_64": _X86_64, "aarch64": _AARCH64}
_LOAD, _RETURN = 0x20, 0x06  # BPF_LD|W|ABS, BPF_RET|K
_JUMP_IF_EQUAL, _JUMP_IF_NOT_BELOW = 0x15, 0x35  # BPF_JMP|JEQ|K, BPF_JMP|JGE|K
_X32 = 0x40000000  # from here on x86-64 has every call once more (x32), under the same AUDIT_ARCH
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # in struct seccomp_data; the argument's low half, as both are little-endian
_AF_UNIX = 1
_ALLOW, _DENY = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EPERM
_KILL = 0x80000000


def forbid_network_and_programs() -> bool:
    """Refuse new sockets, new programs and other processes' memory from here on (seccomp(2)).

    The sockets that are open keep working, and so does `accept`. Call it last: it cannot be taken back.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURE:
        return False
    return _install(_filter(machine, (_SOCKET[machine], _CONNECT[machine], _BIND[machine], *_OTHERS[machine])))


def forbid_calling_out(*, network: bool) -> bool:
    """Refuse new programs and other processes' memory; without `network` also every new socket but Unix ones.

    `accept` and the keeper's socket keep working. A database on another machine needs `network`.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURE:
        return False
    if network:
        return _install(_filter(machine, _OTHERS[machine]))
    return _install(_filter(machine, (_BIND[machine], *_OTHERS[machine]), unix_only=True))


def _install(program: bytes) -> bool:
    buffer = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, description, 0, 0) == 0)


def _filter(machine: str, forbidden: tuple[int, ...], *, unix_only: bool = False) -> bytes:
    """Assemble the filter: another architecture's calls kill, forbidden calls fail with EPERM, the rest passes.

    With `unix_only`, socket(2) passes for AF_UNIX alone.
    """
    checks = [(_JUMP_IF_NOT_BELOW, _X32), *((_JUMP_IF_EQUAL, number) for number in forbidden)]
    sockets = [
        (_JUMP_IF_EQUAL, 0, 2, _SOCKET[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 1, _AF_UNIX),
    ]
    after = [*(sockets if unix_only else []), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]
    steps = [(_LOAD, 0, 0, _ARCH), (_JUMP_IF_EQUAL, 1, 0, _ARCHITECTURE[machine]), (_RETURN, 0, 0, _KILL)]
    steps += [(_LOAD, 0, 0, _NUMBER)]
    last = len(checks) + len(after) - 1
    steps += [(jump, last - index - 1, 0, value) for index, (jump, value) in enumerate(checks)]
    return b"".join(struct.pack("HBBI", *step) for step in steps + after)


def harden_keeper() -> dict[str, bool]:
    """Take everything from the keeper that it does not need; gives each protection and whether it is in force."""
    return {
        "no_core_dump": deny_dumps(),
        "memory_locked": lock_memory(),
        "no_capabilities": drop_capabilities(),
        "no_new_privileges": deny_new_privileges(),
        "no_network_no_programs": forbid_network_and_programs(),
    }


def harden_worker(*, network: bool = False) -> dict[str, bool]:
    """Take from an API worker what would let it read the keeper, leave a dump, start a program or call out.

    Args:
        network: whether its database is elsewhere, so that it has to connect.
    """
    return {
        "no_core_dump": deny_dumps(),
        "no_capabilities": drop_capabilities(),
        "no_new_privileges": deny_new_privileges(),
        "no_calling_out": forbid_calling_out(network=network),
    }
