"""System calls that fail for one process alone: the kernel itself refuses them (seccomp), below all code of ours.

Only what is asked for fails, and only from an offset in the file on, so that a disk breaks in the middle. A process
cannot take it back; its threads, started later, have it too.
"""

from __future__ import annotations

import ctypes
import platform
import struct

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_NUMBERS = {
    ("x86_64", "pwrite64"): 18, ("x86_64", "preadv2"): 327, ("aarch64", "pwrite64"): 68, ("aarch64", "preadv2"): 286,
}  # fmt: skip
_OFFSET_ARGUMENT = 3  # of both calls, counted from 0
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_LOAD, _IF_EQUAL, _IF_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h, of words at absolute places
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # places in struct seccomp_data


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def can_refuse() -> bool:
    """Return whether this machine is one whose calls are known here; that its kernel has seccomp is seen in use."""
    return platform.system() == "Linux" and platform.machine() in _ARCHITECTURES


def refuse(call: str, code: int, offset: int = 0) -> None:
    """Let `call` (`pwrite64`, `preadv2`) fail with an errno from an offset on, in this process for ever.

    Raises OSError where the kernel would not have it.
    """
    machine = platform.machine()
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, 5, _ARCHITECTURES[machine]),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_EQUAL, 0, 3, _NUMBERS[machine, call]),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * _OFFSET_ARGUMENT),  # its lower half: both machines are little-endian
        (_IF_LEAST, 0, 1, offset),
        (_RETURN, 0, 0, _ERRNO | code),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code_bytes = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), code_bytes)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) != 0 or (
        libc.prctl(_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(program), zero, zero) != 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp")
