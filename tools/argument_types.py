"""Types of command line numbers for argparse, which names the flag: what makes no sense is refused before anything starts."""
import argparse

#: Largest count and seed: fields of Caffe's messages hold no more.
LARGEST = 2 ** 31 - 1


def count(text):
    """A whole number of at least 1."""
    return _whole(text, 1)


def seed(text):
    """A seed, 0 included."""
    return _whole(text, 0)


def positive(text):
    """A finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("expected a number above 0, found %s" % text)
    return value


def _whole(text, least):
    value = int(text)
    if not least <= value <= LARGEST:
        raise argparse.ArgumentTypeError("expected a whole number from %d to %d, found %s" % (least, LARGEST, text))
    return value
