"""Single threads of other processes, stopped while everything else in them goes on (root)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator

_DETACH, _SEIZE, _INTERRUPT, _WALL = 17, 0x4206, 0x4207, 0x40000000


@contextlib.contextmanager
def held(threads: Iterable[int]) -> Iterator[None]:
    """Stop the threads with these ids. For one thread of ours: the one that holds must let go."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    with contextlib.ExitStack() as letting_go:
        for thread in threads:
            assert libc.ptrace(_SEIZE, thread, None, None) == 0, os.strerror(ctypes.get_errno())
            letting_go.callback(libc.ptrace, _DETACH, thread, None, None)
            assert libc.ptrace(_INTERRUPT, thread, None, None) == 0, os.strerror(ctypes.get_errno())
            os.waitpid(thread, _WALL)
        yield
