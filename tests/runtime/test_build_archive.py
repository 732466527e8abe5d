"""A build that check_gpu.py --build names: a folder, or an archive that is unpacked once."""
import io
import json
import os
import tarfile

import pytest

from data.errors import InputError
from tools.build import bundle
from tools.lib.runtime import build_archive, source_builds


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty .caffe-build."""
    monkeypatch.setenv("CAFFE_BUILD", "")       # put back after the test
    monkeypatch.setattr(source_builds, "HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def build(tmp_path):
    """A build of two files."""
    folder = tmp_path / "cuda-py3.12-sm90"
    (folder / "python" / "caffe").mkdir(parents=True)
    (folder / "python" / "caffe" / "_caffe.so").write_text("a library")
    (folder / "build.json").write_text(json.dumps(
        {"variant": "cuda", "arch": [90], "python": "3.12"}))
    return folder


def test_a_folder_is_used_as_it_is(home, build):
    build_archive.use_build(str(build))
    assert source_builds.selected() == str(build) and not home.exists()


def test_an_archive_is_unpacked_once(home, build, tmp_path):
    path = str(tmp_path / "build.tar.gz")
    bundle.archive(str(build), path)
    build_archive.use_build(path)
    folder = source_builds.selected()
    assert os.path.dirname(folder) == str(home)
    with open(os.path.join(folder, "python", "caffe", "_caffe.so")) as file:
        assert file.read() == "a library"
    os.remove(os.path.join(folder, "python", "caffe", "_caffe.so"))
    build_archive.use_build(path)
    assert source_builds.selected() == folder and os.listdir(str(home)) == [
        os.path.basename(folder)]
    assert os.listdir(os.path.join(folder, "python", "caffe")) == []     # not unpacked again


def packed(path, name, kind=tarfile.REGTYPE):
    with tarfile.open(str(path), "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    return str(path)


@pytest.mark.parametrize("name, kind", [
    ("top/../../outside", tarfile.REGTYPE), ("../outside", tarfile.REGTYPE),
    ("top//outside", tarfile.REGTYPE), ("top/link", tarfile.SYMTYPE),
    ("top/link", tarfile.LNKTYPE), ("top/device", tarfile.CHRTYPE)])
def test_a_member_outside_the_folder_is_refused_and_nothing_is_left(home, tmp_path, name, kind):
    with pytest.raises(InputError, match="cannot be unpacked: .* is not a file of a build"):
        build_archive.use_build(packed(tmp_path / "build.tar.gz", name, kind))
    assert os.listdir(str(home)) == [] and not (tmp_path / "outside").exists()


def test_what_is_no_archive_or_no_build_is_refused(home, build, tmp_path):
    path = tmp_path / "build.tar.gz"
    bundle.archive(str(build), str(path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be unpacked"):
        build_archive.use_build(str(path))
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InputError, match="cannot be unpacked"):
        build_archive.use_build(str(tmp_path / "text"))
    with pytest.raises(InputError, match="is not a finished build"):
        build_archive.use_build(packed(tmp_path / "other.tar.gz", "top/file"))
    with pytest.raises(InputError, match="is not a finished build"):
        build_archive.use_build(str(tmp_path / "nowhere"))
    assert os.listdir(str(home)) == []
