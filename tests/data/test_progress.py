"""Progress bars: a moving line on a terminal, a line a minute in a pipe."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from data.files import ROOT

#: Works for 1.5 s in steps of 10 ms; argument: seconds between two lines.
WORK = """
import sys, time
from data import progress
progress.SECONDS = float(sys.argv[1])
bar = progress.progress_bar(desc="working", total=150, unit="image", leave=True)
for number in range(150):
    time.sleep(0.01)
    bar.update()
    bar.set_postfix_str(f"loss {number}", refresh=False)
    if number == 75:
        bar.write("half", file=sys.stderr)
        bar.set_description("working on")
bar.close()
for number in progress.progress_bar(range(3)):
    pass
"""


def work(seconds, stderr):
    return subprocess.Popen([sys.executable, "-c", WORK, str(seconds)], stderr=stderr, cwd=ROOT)


def in_pipe(seconds):
    process = work(seconds, subprocess.PIPE)
    written = process.communicate()[1].decode()
    assert process.returncode == 0, written
    return written


def test_in_a_pipe_a_bar_is_a_few_whole_lines_without_carriage_returns():
    written = in_pipe(0.4)
    assert "\r" not in written and "\x1b" not in written and written.endswith("\n")
    lines = [line for line in written.splitlines() if line != "half"]
    assert 1 <= len(lines) <= 6 and len(lines) == len(written.splitlines()) - 1
    for line in lines:
        assert re.fullmatch(
            r"working( on)?: \d+%, \d+ of 150 \[\d\d:\d\d<[\d:?]+, .*image.*\]", line)
    assert "loss" in written


def test_work_of_less_than_a_minute_writes_no_line_into_a_pipe():
    assert in_pipe(60) == "half\n"


def test_on_a_terminal_the_bar_moves():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = work(60, theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:     # Linux: the other side is closed
            part = b""
        if not part:
            break
        written += part
    assert process.wait() == 0
    os.close(ours)
    assert written.count(b"\r") > 5 and b"100%" in written


@pytest.mark.parametrize("folder", ["data", "layers", "models", "solvers", "tools"])
def test_every_bar_of_the_project_is_this_one(repo_root, folder):
    using = []
    for place, _, names in os.walk(os.path.join(repo_root, folder)):
        for name in names:
            path = os.path.join(place, name)
            if name.endswith(".py") and "/runtime/" not in path:
                with open(path, encoding="utf-8") as file:
                    if re.search(r"^\s*(from|import) tqdm", file.read(), re.M):
                        using.append(os.path.relpath(path, repo_root))
    assert using == (["data/progress.py"] if folder == "data" else [])
