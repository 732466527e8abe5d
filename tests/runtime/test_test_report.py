"""The page of a test run: a pytest inside, with a test of every outcome."""
import itertools

import pytest

from tools.lib.runtime.repository import git_state
from tools.lib.runtime.test_report import TestReport

NUMBERS = itertools.count()
TESTS = """
import pytest
def test_passes(): pass
def test_fails(): assert False
@pytest.mark.skip(reason="no moon tonight")
def test_skipped(): pass
@pytest.fixture
def broken(): raise ValueError
def test_breaks_before_it_starts(broken): pass
@pytest.fixture
def skips(): pytest.skip("no moon tonight")
def test_skipped_by_its_fixture(skips): pass
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """page(text): what is written about a file of tests."""
    def run(text):
        # its name must be new: Python imports a module once
        path = tmp_path / (f"test_inner_{next(NUMBERS)}.py")
        monkeypatch.chdir(tmp_path)
        path.write_text(text)
        report = TestReport(["--report", "FILE"])
        pytest.main(
            ["-q", "-p", "no:cacheprovider", "--rootdir",
             str(tmp_path), str(path)], plugins=[report])
        return report.page({"numpy": "9.9"})
    return run


def test_every_outcome_is_counted_once_and_failures_and_reasons_are_named(page, capsys):
    said = page(TESTS)
    assert "| tests | 1 passed, 2 failed, 2 skipped |" in said
    assert "::test_fails\n- " in said and "::test_breaks_before_it_starts" in said
    assert "| commit | %s" % (git_state()["commit"][:12] if git_state() else "unknown") in said
    assert "- 2: no moon tonight" in said and "| packages | numpy 9.9 |" in said


def test_a_file_that_cannot_be_read_has_failed(page, capsys):
    assert "0 passed, 1 failed" in page("def test_x(: pass")
    assert "1 skipped" in page("import pytest\npytest.skip('not here', allow_module_level=True)")


def test_a_run_without_failures_lists_none(page, capsys):
    assert "Failed" not in page("def test_passes(): pass")
