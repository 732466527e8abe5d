"""The runtime as one file: what is packed, equal bytes, and files that must be refused."""
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile

import pytest

from data.errors import InputError
from tests import signed_repository as repository
from tools.lib.runtime import debian, machine, mpi, pack, private_runtime, setup

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb on this machine")
COPYRIGHT = "Format: x\n\nFiles: *\nLicense: GPL-2+\n\nFiles: a\nLicense: Expat\n text\n"
METADATA = ("Name: small\nVersion: 2\nClassifier: License :: OSI Approved :: BSD License\n"
            "Classifier: Topic :: Other\n\ntext\n")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A finished runtime of one Debian package and one wheel, with an MPI; Caffe is not asked."""
    monkeypatch.setattr(setup, "_probe", lambda tree: None)
    monkeypatch.setattr(machine, "git_state", lambda: {"commit": "c0ffee", "dirty": False})
    home = tmp_path / "made"
    tree = home / "tree"
    deb = repository.add_package(tmp_path / "debs", "libc6", {
        "lib/x86_64-linux-gnu/ld-2.31.so": "loader", "usr/lib/python3.9/os.py": "os",
        "usr/bin/python3.9": "python", "usr/share/doc/libc6/copyright": COPYRIGHT})
    debian.unpack([deb], str(tree), lambda: None)
    site = private_runtime.site_packages(str(tree))
    write(site, "small-2.dist-info/METADATA", METADATA)
    write(site, "bin/program", "#!/the/python/that/ran/pip\n")
    write(str(tree), "usr/lib/python3.9/__pycache__/os.cpython-39.pyc", "compiled")
    os.chmod(os.path.join(str(tree), "usr/bin/python3.9"), 0o755)
    os.symlink("/usr/bin/python3.9", os.path.join(str(tree), "absolute"))
    os.symlink("/etc/hostname", os.path.join(str(tree), "outside"))
    os.symlink("usr/lib", os.path.join(str(tree), "folder"))
    monkeypatch.setattr(mpi, "FOLDER", str(home / "mpi"))
    write(mpi.FOLDER, "bin/mpiexec", "mpiexec")
    write(mpi.FOLDER, "python-3.9/mpi4py/__init__.py", "")
    write(mpi.FOLDER, "python-3.12/mpi4py/__init__.py", "")
    monkeypatch.setenv("CAFFE_PREFIX", str(home / "caffe"))
    setup.put_in_place(str(tree), str(home / "caffe"))
    return home


def write(folder, path, text):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture
def packed(world, tmp_path):
    path = str(tmp_path / "runtime.pack")
    pack.write_pack(path, report=lambda line: None)
    return path


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Folder of another machine, where nothing is set up."""
    monkeypatch.setenv("CAFFE_PREFIX", str(tmp_path / "other place" / "caffe"))
    monkeypatch.setattr(mpi, "FOLDER", str(tmp_path / "other place" / "mpi"))
    return tmp_path / "other place"


def unpack(path, **options):
    return pack.unpack(path, report=lambda line: None, **options)


def manifest_of(path):
    with open(path, "rb") as file:
        return pack.read_manifest(path, file)


def refused(path, elsewhere, words, **options):
    """Asserts that `path` is refused with these words and that nothing is left behind."""
    with pytest.raises(InputError, match=words):
        unpack(path, **options)
    left = set(os.listdir(elsewhere)) if elsewhere.exists() else set()
    assert left <= {"caffe-partial.lock"}


def test_a_packed_runtime_is_set_up_at_another_place(packed, world, elsewhere):
    folder = unpack(packed)
    assert folder == str(elsewhere / "caffe") and setup.is_current(folder)
    for path in ("lib/x86_64-linux-gnu/ld-2.31.so", "usr/lib/python3.9/os.py"):
        with open(os.path.join(folder, path)) as new, open(str(world / "caffe" / path)) as old:
            assert new.read() == old.read()
    assert os.access(os.path.join(folder, "usr/bin/python3.9"), os.X_OK)
    assert os.access(os.path.join(folder, "bin/python"), os.X_OK)
    assert sorted(os.listdir(elsewhere / "mpi")) == ["bin", "python-3.9"]
    assert sorted(os.listdir(elsewhere)) == ["caffe", "caffe-partial.lock", "mpi"]


def test_what_belongs_to_one_machine_is_not_packed(packed, elsewhere):
    folder = unpack(packed)
    assert os.readlink(os.path.join(folder, "absolute")) == "usr/bin/python3.9"
    assert os.readlink(os.path.join(folder, "folder")) == "usr/lib"
    assert not os.path.lexists(os.path.join(folder, "outside"))
    assert not os.path.exists(os.path.join(folder, "usr/lib/python3.9/__pycache__"))
    assert not os.path.exists(os.path.join(private_runtime.site_packages(folder), "bin"))


def test_a_runtime_that_was_unpacked_gives_the_same_file_again(packed, elsewhere, tmp_path):
    unpack(packed)
    again = str(tmp_path / "again.pack")
    pack.write_pack(again, report=lambda line: None)
    with open(packed, "rb") as first, open(again, "rb") as second:
        assert first.read() == second.read()


def test_packages_are_listed_with_version_and_licences(packed):
    assert manifest_of(packed)["packages"] == [
        {"kind": "Debian", "name": "libc6", "version": "1", "licence": "Expat, GPL-2+"},
        {"kind": "wheel", "name": "small", "version": "2", "licence": "BSD License"}]
    assert manifest_of(packed)["commit"] == "c0ffee"


def test_a_runtime_without_a_list_of_packages_has_to_be_made_anew(world, tmp_path):
    os.unlink(str(world / "caffe" / debian.UNPACKED))
    with pytest.raises(InputError, match="no list of its packages.*\n.*--rebuild"):
        pack.write_pack(str(tmp_path / "x"), report=lambda line: None)
    assert not (tmp_path / "x").exists()


def test_without_a_finished_private_runtime_there_is_nothing_to_pack(world, tmp_path):
    os.unlink(str(world / "caffe" / private_runtime.READY))
    with pytest.raises(InputError, match="no finished private runtime"):
        pack.write_pack(str(tmp_path / "x"), report=lambda line: None)


def test_no_byte_can_be_cut_and_none_of_the_payload_altered(packed, elsewhere):
    with open(packed, "rb") as file:
        whole = file.read()
    payload = manifest_of(packed)["bytes"]
    for size in (0, 100, 512, 600, 512 + payload // 2, 512 + payload, len(whole) - 2000):
        with open(packed, "wb") as file:
            file.write(whole[:size])
        refused(packed, elsewhere, "is cut, altered or no packed runtime")
    for place in (512, 512 + payload // 2, 511 + payload):
        altered = bytearray(whole)
        altered[place] ^= 1
        with open(packed, "wb") as file:
            file.write(altered)
        refused(packed, elsewhere, "is altered: the SHA-256")


def test_the_hash_of_the_whole_file_can_be_demanded(packed, elsewhere):
    with open(packed, "rb") as file:
        right = hashlib.sha256(file.read()).hexdigest()
    refused(packed, elsewhere, "its SHA-256 is not", digest=64 * "0")
    assert unpack(packed, digest=right.upper())


def test_another_file_and_no_file_are_refused(elsewhere, tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(str(path), "w") as archive:
        archive.addfile(tarfile.TarInfo("README"))
    refused(str(path), elsewhere, "no packed runtime")
    path.write_bytes(b"\0" * 5000)
    refused(str(path), elsewhere, "no packed runtime")
    refused(str(tmp_path / "none"), elsewhere, "none: no such file")
    refused(str(tmp_path), elsewhere, "no such file")


@pytest.mark.parametrize("change, words", [
    ({"fingerprint": 64 * "0"}, "packed at commit c0ffee.*other versions"),
    ({"format": 2}, "other versions"),
    ({"machine": "aarch64"}, "is for aarch64, expected x86_64"),
    ({"unpacked_bytes": 1 << 60}, "unpacked_bytes is wrong"),
    ({"unpacked_bytes": "1"}, "unpacked_bytes is wrong"),
    ({"bytes": 7}, "bytes is wrong"),
    ({"files": True}, "files is wrong"),
    ({"packages": None}, "packages is wrong"),
    ({"sha256": 64 * "0"}, "is altered"),
    ({"files": 3}, "more than manifest.json says"),
    ({"files": 300}, "holds .* files, manifest.json says 300"),
    ({"unpacked_bytes": 20}, "more than manifest.json says"),
])
def test_a_manifest_that_does_not_fit_is_refused(packed, elsewhere, change, words):
    manifest = dict(manifest_of(packed), **change)
    with open(packed, "rb") as file:
        file.seek(512)
        payload = file.read(manifest_of(packed)["bytes"])
    made(packed, payload, json.dumps(manifest).encode())
    refused(packed, elsewhere, words)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"\xff", b"[" * 100000])
def test_a_manifest_that_is_none_is_refused(packed, elsewhere, text):
    made(packed, b"payload", text)
    refused(packed, elsewhere, "no packed runtime")


def made(path, payload, manifest):
    """Writes a pack of these two members."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as outer:
        for name, data in ((pack.PAYLOAD, payload), (pack.MANIFEST, manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            outer.addfile(member, io.BytesIO(data))


def member(name, kind=tarfile.REGTYPE, target="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


@pytest.mark.parametrize("members, words", [
    ([member("../caffe/x")], "leads out"),
    ([member("/etc/x")], "leads out"),
    ([member("caffe/../../x")], "leads out"),
    ([member("caffe//x")], "leads out"),
    ([member("other/x")], "leads out"),
    ([member("caffe")], "leads out"),
    ([member("caffe/x"), member("caffe/x")], "comes twice"),
    ([member("caffe/x", tarfile.DIRTYPE)], "neither a file"),
    ([member("caffe/x", tarfile.CHRTYPE)], "neither a file"),
    ([member("caffe/x", tarfile.FIFOTYPE)], "neither a file"),
    ([member("caffe/x", tarfile.LNKTYPE, "../../outside.txt")], "neither a file"),
    ([member("caffe/x", tarfile.SYMTYPE, "/etc")], "links to '/etc', outside"),
    ([member("caffe/x", tarfile.SYMTYPE, "../../..")], "outside the runtime"),
    ([member("caffe/x", tarfile.SYMTYPE, "../mpi/y")], "outside the runtime"),
    ([member("caffe/d/f"), member("caffe/a", tarfile.SYMTYPE, "d"),
      member("caffe/b", tarfile.SYMTYPE, "a/../../..")], "outside the runtime"),
    ([member("caffe/x", tarfile.SYMTYPE, "../.."), member("caffe/x/y")], "damaged"),
    ([member("caffe/x/y"), member("caffe/x", tarfile.SYMTYPE, "../..")], "damaged"),
    ([member("caffe/x", tarfile.SYMTYPE, "../.."), member("caffe/x/y", tarfile.SYMTYPE, "z")],
     "damaged"),
    ([member("caffe/x"), member("caffe/x/y")], "damaged"),
])
def test_no_member_reaches_out_of_the_runtime(packed, elsewhere, tmp_path, members, words):
    (tmp_path / "outside.txt").write_text("as it was")
    before = sorted(os.listdir(tmp_path))
    made_of(packed, members)
    refused(packed, elsewhere, words)
    assert (tmp_path / "outside.txt").read_text() == "as it was"
    assert sorted(set(os.listdir(tmp_path)) - {"other place"}) == before


def made_of(path, members, cut=0):
    """Writes a pack whose payload has these members, and whose manifest fits the payload."""
    manifest = manifest_of(path)
    payload = io.BytesIO()
    with tarfile.open(fileobj=payload, mode="w:gz") as archive:
        for each in members:
            archive.addfile(each, io.BytesIO(bytes(each.size)))
    payload = payload.getvalue()[:-cut or None]
    manifest.update(files=len(members), sha256=hashlib.sha256(payload).hexdigest(),
                    bytes=len(payload))
    made(path, payload, json.dumps(manifest).encode())


@pytest.mark.parametrize("members, words", [
    ([member("caffe/x")], "holds no mpi/"), ([member("mpi/x")], "holds no caffe/"),
    ([member("caffe/x"), member("mpi/x")], "the dynamic loader is missing")])
def test_a_payload_without_a_runtime_is_refused(packed, elsewhere, members, words):
    made_of(packed, members)
    refused(packed, elsewhere, words)


def test_a_payload_that_is_cut_though_its_hash_fits_is_refused(packed, elsewhere):
    made_of(packed, [member("caffe/x", size=100000)], cut=30)
    refused(packed, elsewhere, "damaged|cut|holds")


def test_a_runtime_that_was_there_stays_when_the_file_is_refused(packed, world):
    with open(packed, "r+b") as file:
        file.seek(600)
        file.write(b"xxxx")
    with pytest.raises(InputError):
        unpack(packed)
    assert setup.is_current(str(world / "caffe"))


def test_another_kind_of_machine_and_a_full_disk_are_refused(packed, elsewhere, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage",
                        lambda path: type("Usage", (), {"free": 10})())
    refused(packed, elsewhere, "GB free")
    monkeypatch.setattr(setup.platform, "machine", lambda: "aarch64")
    refused(packed, elsewhere, "for Linux on x86_64")


def test_a_hash_without_a_file_is_a_wrong_command(monkeypatch):
    from tools import setup_caffe
    monkeypatch.setattr(sys, "argv", ["setup_caffe.py", "--sha256", "0"])
    with pytest.raises(InputError, match="--unpack"):
        setup_caffe.main()
