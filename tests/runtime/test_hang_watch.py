"""A test that hangs ends the run: a pytest inside, in a process of its own."""
import subprocess
import sys

RUN = """
import sys
import pytest
from tools.lib.runtime.hang_watch import HangWatch
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", ".", sys.argv[1]], plugins=[HangWatch(1)]))
"""


def run(tmp_path, repo_root, body):
    """The ended process of a run of one test with this body."""
    path = tmp_path / "test_inner.py"
    path.write_text(f"import time\ndef test_inner(): {body}\n")
    code = f"import sys; sys.path[0] = {repo_root!r}\n{RUN}"
    return subprocess.run([sys.executable, "-c", code, str(path)], cwd=str(tmp_path),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                          timeout=120)


def test_a_test_that_hangs_ends_the_run_and_its_line_is_told(tmp_path, repo_root):
    ended = run(tmp_path, repo_root, "time.sleep(100)")
    assert ended.returncode == 1
    assert "Timeout (0:00:01)!" in ended.stderr and "line 2 in test_inner" in ended.stderr


def test_a_test_that_ends_is_left_alone(tmp_path, repo_root):
    ended = run(tmp_path, repo_root, "pass")
    assert ended.returncode == 0 and ended.stderr == ""
