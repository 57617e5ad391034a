"""Signals ask for an end; none of them loses what is at work."""

import os
import signal

import pytest

from jaxrl_rewards.train.signals import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_however_often_the_first_signal_counts(number, capsys):
    former = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop
        for again in (number, signal.SIGINT, number, signal.SIGHUP):
            os.kill(os.getpid(), again)
        assert stop and stop.signal_number == number
    assert signal.getsignal(number) == former
    assert "finished and saved" in capsys.readouterr().err


def test_an_ignored_signal_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, former)
