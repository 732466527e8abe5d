"""The set-up's phases with a small archive in the place of Debian's: resume, refuse, replace."""
import hashlib
import json
import os
import shutil
import types

import pytest

from data.errors import InputError
from tests import signed_repository as repository
from tools.lib.runtime import debian, mirrors, private_runtime, setup, wheels

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb on this machine")


@pytest.fixture
def archive(tmp_path):
    """Paths of three .deb files: the prefix's loader, its Python folder, and another file."""
    contents = {"libc6": "lib/x86_64-linux-gnu/ld-2.31.so", "python": "usr/lib/python3.9/os.py",
                "other": "usr/share/x"}
    return [repository.add_package(tmp_path / "build", name, {file: name})
            for name, file in contents.items()]


@pytest.fixture
def world(tmp_path, monkeypatch, archive):
    """A set-up whose apt copies from `archive` and whose pip makes a folder; calls are counted."""
    state = types.SimpleNamespace(prefix=str(tmp_path / "prefix"), fetched=[], downloads=0,
                                  lines=[])
    monkeypatch.setenv("CAFFE_PREFIX", state.prefix)
    listed = []
    for path in archive:
        with open(path, "rb") as file:
            data = file.read()
        name = os.path.basename(path).split("_")[0]
        listed.append(debian.Package(name, "1", os.path.basename(path), len(data),
                                     hashlib.sha256(data).hexdigest()))
    state.packages = listed

    class Apt:
        mirror, retired = "http://mirror.test/debian", False

        def closure(self):
            return listed

        def fetch(self, wanted, folder, progress):
            for package, path in zip(wanted, archive):
                if not debian.is_whole(os.path.join(folder, package.file), package):
                    state.fetched.append(package.name)
                    shutil.copy(path, folder)

    monkeypatch.setattr(debian, "open_apt", lambda folder, mirrors: Apt())

    def download(folder, progress):
        state.downloads += 1

    monkeypatch.setattr(wheels, "download", download)
    monkeypatch.setattr(wheels, "install", lambda folder, target: os.makedirs(target))
    monkeypatch.setattr(setup, "_probe", lambda tree: None)
    monkeypatch.setattr(setup, "NEEDED_BYTES", 1e6)
    state.run = lambda **options: setup.set_up_runtime(mirror=Apt.mirror, report=state.lines.append,
                                                       **options)
    return state


def test_it_ends_with_a_prefix_and_nothing_beside_it(world):
    assert world.run() == world.prefix
    assert private_runtime.is_ready(world.prefix) and setup.is_current(world.prefix)
    assert os.path.exists(os.path.join(world.prefix, "usr/share/x"))
    assert os.access(os.path.join(world.prefix, "bin/python"), os.X_OK)
    assert not os.path.exists(world.prefix + "-partial")


def test_a_second_run_does_nothing_and_rebuild_does_it_again(world):
    world.run()
    stamp = os.stat(os.path.join(world.prefix, private_runtime.READY))
    world.run()
    assert world.downloads == 1
    world.run(rebuild=True)
    assert world.downloads == 2
    assert os.stat(os.path.join(world.prefix, private_runtime.READY)).st_ino != stamp.st_ino


def test_interrupted_while_unpacking_it_unpacks_anew_and_downloads_nothing(world, monkeypatch):
    unpack_one = debian._unpack_one

    def interrupted(path, folder):
        if "python" in path:
            raise KeyboardInterrupt
        unpack_one(path, folder)

    monkeypatch.setattr(debian, "_unpack_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert not os.path.exists(world.prefix)
    monkeypatch.setattr(debian, "_unpack_one", unpack_one)
    world.run()
    assert world.fetched == ["libc6", "python", "other"]
    assert os.path.exists(os.path.join(world.prefix, "usr/lib/python3.9/os.py"))


def test_interrupted_after_unpacking_it_goes_on_with_the_wheels(world, monkeypatch):
    download = wheels.download

    def broken(folder, progress):
        raise InputError("pip could not bring them")

    monkeypatch.setattr(wheels, "download", broken)
    with pytest.raises(InputError):
        world.run()
    monkeypatch.setattr(wheels, "download", download)
    monkeypatch.setattr(debian, "open_apt",
                        lambda *a: pytest.fail("the packages were unpacked already"))
    world.run()
    assert setup.is_current(world.prefix)


def test_a_file_that_is_not_what_the_index_lists_stops_it(world):
    world.packages[1] = world.packages[1]._replace(sha256=64 * "0")
    with pytest.raises(InputError, match="python_1_amd64.deb is not what the signed index lists"):
        world.run()
    assert not os.path.exists(world.prefix)


def test_an_outdated_prefix_stays_until_the_new_one_works(world, monkeypatch):
    world.run()
    ready = os.path.join(world.prefix, private_runtime.READY)
    with open(ready, "w") as file:
        json.dump({"fingerprint": "of another day"}, file)

    def broken(tree):
        raise InputError("the new runtime cannot load Caffe")

    monkeypatch.setattr(setup, "_probe", broken)
    with pytest.raises(InputError):
        world.run()
    assert private_runtime.is_ready(world.prefix) and not setup.is_current(world.prefix)
    monkeypatch.setattr(setup, "_probe", lambda tree: None)
    world.run()
    assert setup.is_current(world.prefix)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}"])
def test_a_damaged_stamp_is_not_current(tmp_path, text):
    (tmp_path / private_runtime.READY).write_text(text)
    assert not setup.is_current(str(tmp_path))


@pytest.mark.parametrize("mirror", [
    "", "/mnt/debian", "mirror.test/debian", "http://a.test/debian bookworm", "-o"])
def test_a_mirror_that_is_no_address_is_refused(mirror):
    with pytest.raises(InputError, match="--mirror: expected an address"):
        mirrors.mirrors_to_ask(mirror)


def test_the_error_of_a_machine_without_mirrors_names_the_other_routes(monkeypatch):
    monkeypatch.setattr(mirrors, "machine_mirrors", lambda: [])
    with pytest.raises(InputError, match="environment.yml"):
        mirrors.mirrors_to_ask()


def test_a_full_disk_is_an_error_before_anything_is_fetched(world, monkeypatch):
    monkeypatch.setattr(setup, "NEEDED_BYTES", 1.3e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=5e8))
    with pytest.raises(InputError, match="0.5 GB free.*needs 1.3 GB"):
        world.run()
    assert world.fetched == []


def test_another_kind_of_machine_is_sent_to_conda(world, monkeypatch):
    monkeypatch.setattr(setup.platform, "machine", lambda: "aarch64")
    with pytest.raises(InputError, match="conda"):
        world.run()


@pytest.fixture
def lock(world, tmp_path, monkeypatch):
    path = tmp_path / "debian.lock"
    path.write_text("# comment\n" + "".join(f"{p.sha256} {p.file}\n" for p in world.packages))
    real = debian.locked_packages
    monkeypatch.setattr(debian, "locked_packages", lambda: real(str(path)))


def test_an_offline_folder_needs_no_mirror_and_any_file_names_will_do(world, lock, archive,
                                                                      tmp_path, monkeypatch):
    folder = tmp_path / "offline"
    folder.mkdir()
    for number, path in enumerate(archive):
        shutil.copy(path, str(folder / (f"{number}.deb")))
    (folder / "stranger.deb").write_bytes(b"not in the lock")
    monkeypatch.setattr(debian, "open_apt", lambda *a: pytest.fail("a mirror was asked"))
    setup.set_up_runtime(debs=str(folder), report=world.lines.append)
    assert setup.is_current(world.prefix)


def test_an_altered_offline_package_is_named_and_refused(world, lock, archive, tmp_path):
    folder = tmp_path / "offline"
    folder.mkdir()
    for path in archive:
        shutil.copy(path, str(folder))
    with open(str(folder / "other_1_amd64.deb"), "ab") as file:
        file.write(b"x")
    with pytest.raises(InputError,
                       match="1 of 3 packages are missing or differ.*other_1_amd64.deb"):
        setup.set_up_runtime(debs=str(folder), report=world.lines.append)
    with pytest.raises(InputError, match="no folder"):
        setup.set_up_runtime(debs=str(tmp_path / "none"), report=world.lines.append)


def test_a_damaged_package_is_named(tmp_path):
    path = tmp_path / "damaged_1_amd64.deb"
    path.write_bytes(b"!<arch>\n")
    with pytest.raises(InputError, match="cannot unpack .*damaged_1_amd64.deb"):
        debian.unpack([str(path)], str(tmp_path / "tree"), lambda: None)
