"""Debian 11's packages are gone and their source is left: Caffe is compiled, by a stub here."""
import os
import shutil
import types

import pytest

from data.errors import InputError
from tests import signed_repository as repository
from tools.build import toolchain
from tools.lib.runtime import debian, last_resort, setup, source_builds

pytestmark = pytest.mark.skipif(
    bool(repository.missing_programs),
    reason=f"not on this machine: {', '.join(repository.missing_programs)}")
#: Stands in the place of tools/build/build_caffe.py: writes down its arguments, makes a record.
STUB = """
import json, os, sys
home = {home!r}
with open(os.path.join(home, "arguments.json"), "w") as file:
    json.dump(sys.argv[1:], file)
if {code}:
    sys.exit({code})
build = os.path.join(home, "cpu")
os.makedirs(build)
with open(os.path.join(build, "build.json"), "w") as file:
    json.dump({{"python": "3.12", "variant": "cpu", "arch": []}}, file)
os.symlink("cpu", os.path.join(home, "active"))
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A mirror on loopback that has Caffe's source package alone, and a stub of the build."""
    key = repository.Key(tmp_path / "keyring.gpg")
    monkeypatch.setattr(debian, "KEYRINGS", (key.keyring,))
    monkeypatch.setattr(debian, "_network_settings", lambda: [])
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("CAFFE_BUILD", raising=False)
    monkeypatch.setenv("CAFFE_PREFIX", str(tmp_path / "prefix"))
    home = tmp_path / "builds"
    home.mkdir()
    monkeypatch.setattr(source_builds, "ACTIVE", str(home / "active"))
    # what this machine has is another test's question
    monkeypatch.setattr(source_builds, "missing_programs", lambda: [])
    monkeypatch.setattr(source_builds, "building_python", lambda: shutil.which("python3"))
    monkeypatch.setattr(last_resort, "PROGRAM", str(tmp_path / "stub.py"))
    state = types.SimpleNamespace(home=home, web=tmp_path / "web", lines=[], key=key)
    state.stub = lambda code=0: (tmp_path / "stub.py").write_text(
        STUB.format(home=str(home), code=code))
    state.stub()
    state.web.mkdir()
    with repository.served(state.web) as (address, _):
        state.mirror = address + "/debian"
        state.run = lambda: setup.set_up_runtime(mirror=state.mirror, report=state.lines.append)
        yield state
    key.close()


def publish_source(world, folder="debian"):
    repository.add_source(world.web / folder, "caffe", "1", {"README": "source"})
    repository.publish(world.web / folder, world.key, architectures="")


def test_caffe_is_compiled_and_the_user_is_told_how_long_it_takes(world):
    publish_source(world)
    assert world.run() == str(world.home / "cpu")
    assert (world.home / "arguments.json").read_text() == (
        f'["--variant", "cpu", "--activate", "--mirror", "{world.mirror}"]')
    text = "\n".join(world.lines)
    assert "has dropped packages of Debian 11" in text
    assert f"about {last_resort.MINUTES} minutes on two cores" in text


def test_the_source_may_be_in_the_archive_alone(world):
    publish_source(world, "debian-archive/debian")
    assert world.run() == str(world.home / "cpu")
    assert "/debian-archive/debian" in (world.home / "arguments.json").read_text()


def test_without_packages_and_source_the_first_error_stays_and_nothing_is_compiled(world):
    with pytest.raises(debian.NoPackages, match="has dropped Debian 11"):
        world.run()
    assert os.listdir(str(world.home)) == []


def test_a_source_that_a_stranger_has_signed_is_not_compiled(world, tmp_path):
    stranger = repository.Key(tmp_path / "stranger.gpg")
    try:
        repository.add_source(world.web / "debian", "caffe", "1", {"README": "source"})
        repository.publish(world.web / "debian", stranger, architectures="")
    finally:
        stranger.close()
    with pytest.raises(debian.NoPackages, match="not signed"):
        world.run()
    assert os.listdir(str(world.home)) == []


def test_a_machine_that_cannot_compile_is_told_what_it_lacks(world, monkeypatch):
    publish_source(world)
    monkeypatch.setattr(source_builds, "missing_programs", lambda: ["g++ (the C++ compiler)"])
    monkeypatch.setattr(source_builds, "building_python", lambda: None)
    with pytest.raises(InputError) as caught:
        world.run()
    text = str(caught.value)
    assert "g++ (the C++ compiler), Python 3.11 or 3.12 with its headers missing" in text
    assert "build-essential" in text and "--debs" in text
    assert os.listdir(str(world.home)) == []


def test_a_build_that_fails_is_an_error_with_the_other_routes(world):
    publish_source(world)
    world.stub(code=2)
    with pytest.raises(InputError, match=r"could not be compiled \(exit code 2\)\n.*--debs"):
        world.run()


def test_the_pythons_that_can_be_built_for_are_those_with_a_lock(monkeypatch, tmp_path):
    for version in ("3.9", "3.11", "3.10"):
        (tmp_path / f"python-{version}.lock").write_text("")
    monkeypatch.setattr(source_builds, "LOCKS", str(tmp_path / "python-*.lock"))
    assert source_builds.buildable_pythons() == ["3.9", "3.10", "3.11"]


def test_a_python_without_headers_is_not_taken(monkeypatch):
    monkeypatch.setattr(source_builds, "buildable_pythons",
                        lambda: [source_builds.RUNNING_PYTHON])
    monkeypatch.setattr(source_builds, "ask", lambda path, expression: "/nowhere")
    assert source_builds.building_python() is None


def test_missing_programs_stop_a_build_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr(source_builds.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"g\+\+ \(the C\+\+ compiler\), make"):
        toolchain.check_programs()
