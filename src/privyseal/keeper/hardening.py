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
_FORBIDDEN = {  # socket, connect, bind, execve, execveat, ptrace, process_vm_readv, process_vm_writev, io_uring_setup
    "x86_64": (_X86_64, (41, 42, 49, 59, 322, 101, 310, 311, 425)),
    "aarch64": (_AARCH64, (198, 203, 200, 221, 281, 117, 270, 271, 425)),
}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_ALLOW, _DENY = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EPERM
_KILL = 0x80000000


def forbid_network_and_programs() -> bool:
    """Refuse new sockets, new programs and other processes' memory from here on (seccomp(2)).

    The sockets that are open keep working, and so does `accept`. Call it last: it cannot be taken back.
    """
    known = _FORBIDDEN.get(platform.machine())
    if known is None:
        return False
    program = _filter(*known)
    buffer = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, description, 0, 0) == 0)


def _filter(architecture: int, forbidden: tuple[int, ...]) -> bytes:
    """Assemble the filter: another architecture's calls kill, forbidden calls fail with EPERM, the rest passes."""
    count = len(forbidden)
    steps = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_IF_EQUAL, count - index, 0, number) for index, number in enumerate(forbidden)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def harden_keeper() -> dict[str, bool]:
    """Take everything from the keeper that it does not need; gives each protection and whether it is in force."""
    return {
        "no_core_dump": deny_dumps(),
        "memory_locked": lock_memory(),
        "no_capabilities": drop_capabilities(),
        "no_new_privileges": deny_new_privileges(),
        "no_network_no_programs": forbid_network_and_programs(),
    }


def harden_worker() -> dict[str, bool]:
    """Take from an API worker what would let it read the keeper or leave a dump."""
    return {
        "no_core_dump": deny_dumps(),
        "no_capabilities": drop_capabilities(),
        "no_new_privileges": deny_new_privileges(),
    }
