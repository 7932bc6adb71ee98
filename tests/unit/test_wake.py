"""A signal handler must be able to wake the thread that it interrupts."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from galerist.wake import Wake


def test_a_flag_that_is_set_is_seen_and_can_be_cleared() -> None:
    wake = Wake()
    assert not wake.wait(0.01)
    wake.set()
    assert wake.is_set() and wake.wait(10)
    wake.clear()
    assert not wake.is_set() and not wake.wait(0.01)


def test_another_thread_wakes_the_waiter() -> None:
    wake = Wake()
    began = time.monotonic()
    thread = threading.Timer(0.1, wake.set)
    thread.start()
    assert wake.wait(30)
    assert time.monotonic() - began < 20
    thread.join()


@pytest.mark.timeout(60)
def test_signals_in_a_storm_never_hang_the_waiter() -> None:
    wake = Wake()
    seen = 0
    former = signal.signal(signal.SIGUSR1, lambda number, frame: wake.set())
    stop = threading.Event()

    def storm() -> None:
        while not stop.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.0002)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            wake.clear()
            seen += wake.wait(0.001)
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, former)
    assert seen > 0
