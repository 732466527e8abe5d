"""Handlers of signals that are set for the length of a block."""
import contextlib
import signal


@contextlib.contextmanager
def handled(numbers, handler):
    """Sets the handler of these signals; afterwards they have those of before again.

    handler: signal.SIG_IGN, signal.SIG_DFL or handler(number, frame).  In the main thread alone
    (ValueError elsewhere).
    """
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            # None: a handler that was not set by Python
            signal.signal(number, signal.SIG_DFL if old is None else old)
