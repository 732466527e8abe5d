"""Handlers of signals last as long as their block."""
import os
import signal

import pytest

from tools.lib.signals import handled


def test_handlers_are_those_of_before_after_a_block_that_raises():
    came = []
    numbers = [signal.SIGUSR1, signal.SIGALRM]
    before = list(map(signal.getsignal, numbers))
    with pytest.raises(KeyError), handled(numbers, lambda number, _: came.append(number)):
        for number in numbers:
            os.kill(os.getpid(), number)
        raise KeyError
    assert came == numbers and list(map(signal.getsignal, numbers)) == before
