"""Caffe's own messages: making it talk, and reading what it said before it died."""
import ctypes
import re

_FATAL = re.compile(r"^F\d{4,8} [\d:.]+ +\d+ ([\w.]+:\d+)\] (.*?)(?=^\*\*\* |^[IWEF]\d{4,8} |\Z)",
                    re.M | re.S)
_LAYER = re.compile(r"(?:Creating Layer|Setting up) (.*)$", re.M)
_CHECK = re.compile(r"^Check failed: ")


def speak():
    """Lets Caffe log everything to stderr from now on, whatever GLOG_minloglevel says.

    The level is a variable of libglog that is read from the environment once, at import.
    Returns False, having done nothing, where libglog cannot be found.
    """
    try:
        with open("/proc/self/maps") as maps:
            path = next(line.split()[-1] for line in maps if "libglog.so" in line)
        library = ctypes.CDLL(path)
        ctypes.c_int.in_dll(library, "_ZN3fLI17FLAGS_minloglevelE").value = 0
        ctypes.c_bool.in_dll(library, "_ZN3fLB17FLAGS_logtostderrE").value = True
    except (OSError, StopIteration, ValueError):
        return False
    return True


def last_layer(text):
    """The name of the layer that Caffe was setting up last, or None."""
    names = _LAYER.findall(text)
    return names[-1].strip() if names else None


def fatal_message(text):
    """The message of the CHECK that ended the process, in one line, or None."""
    found = _FATAL.search(text)
    if not found:
        return None
    message = _CHECK.sub("", " ".join(found.group(2).split()))
    return f"{message} ({found.group(1)})"
