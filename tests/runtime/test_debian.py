"""The private apt: archives that it refuses, its error messages, files that it has already."""
import hashlib
import os
import shutil

import pytest

from data.errors import InputError
from tools.lib.runtime import debian
from tools.lib.runtime.debian import AptFailed, Package, PrivateApt, open_apt

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get on this machine")


def package_of(name, data=b"data"):
    return Package(name, "1:2-3", f"{name}_1%3a2-3_amd64.deb", len(data),
                   hashlib.sha256(data).hexdigest())


def local_archive(folder, release=True):
    """A folder that looks like a mirror of the suite but that nobody has signed; its address."""
    index = folder / "dists" / debian.SUITE / "main" / "binary-amd64"
    index.mkdir(parents=True)
    (index / "Packages").write_text("")
    if release:
        digest = hashlib.sha256(b"").hexdigest()
        (folder / "dists" / debian.SUITE / "Release").write_text(
            f"Suite: {debian.SUITE}\nCodename: {debian.SUITE}\nDate: Thu, 01 Jan 2015 00:00:00 "
            "UTC\nComponents: main\nArchitectures: amd64\n"
            f"SHA256:\n {digest} 0 main/binary-amd64/Packages\n")
    return f"file:{folder}"


@needs_apt
def test_an_unsigned_archive_is_refused(tmp_path):
    mirror = local_archive(tmp_path / "mirror")
    with pytest.raises(InputError, match="not signed"):
        open_apt(str(tmp_path / "apt"), [mirror])


@needs_apt
def test_a_mirror_without_the_suite_is_named_with_the_other_routes(tmp_path):
    (tmp_path / "mirror").mkdir()
    with pytest.raises(InputError) as caught:
        open_apt(str(tmp_path / "apt"), [f"file:{tmp_path / 'mirror'}"])
    text = str(caught.value)
    assert "dropped" in text and str(tmp_path / "mirror") in text
    assert "--mirror" in text and "--debs" in text and "environment.yml" in text


@needs_apt
def test_private_configuration_keeps_hooks_and_machine_state_out(tmp_path):
    apt = PrivateApt(str(tmp_path / "apt"), "file:/nowhere")
    with open(apt.config, encoding="utf-8") as file:
        text = file.read()
    assert "Invoke" not in text and "/var/lib" not in text and "/var/cache" not in text
    assert 'AllowInsecureRepositories "false"' in text


def test_the_next_mirror_is_tried_when_the_first_has_no_suite(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "_keyring", lambda: "/k.gpg")
    monkeypatch.setattr(debian, "_network_settings", lambda: [])

    def run(self, arguments, cwd=None):
        if "first" in self.mirror:
            raise AptFailed("E: The repository 'http://first.test bullseye Release' does not have "
                            "a Release file.")
        return ""

    monkeypatch.setattr(PrivateApt, "run", run)
    apt = open_apt(str(tmp_path), ["http://first.test", "http://second.test"])
    assert apt.mirror == "http://second.test"


def test_a_network_failure_is_not_called_a_dropped_suite(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "_keyring", lambda: "/k.gpg")
    monkeypatch.setattr(debian, "_network_settings", lambda: [])

    def run(self, arguments, cwd=None):
        raise AptFailed("W: noise\nE: Failed to fetch http://m.test/InRelease  Could not resolve "
                        "'m.test'\n")

    monkeypatch.setattr(PrivateApt, "run", run)
    with pytest.raises(InputError, match="Could not resolve") as caught:
        open_apt(str(tmp_path), ["http://m.test"])
    assert "dropped" not in str(caught.value)


def test_closure_takes_names_from_the_simulation_and_hashes_from_the_index(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "_keyring", lambda: "/k.gpg")
    monkeypatch.setattr(debian, "_network_settings", lambda: [])
    asked = []

    def run(self, arguments, cwd=None):
        asked.append(arguments)
        if arguments[0] == "install":
            return ("Reading...\nInst libc6 (2.31-13 Debian:11.11/oldoldstable [amd64])\n"
                    "Conf libc6 (2.31-13 x)\n")
        return ("Reading...\n'http://m.test/pool/libc6_2.31-13_amd64.deb' libc6_2.31-13_amd64.deb "
                f"17 SHA256:{64 * 'a'}\n")

    monkeypatch.setattr(PrivateApt, "run", run)
    assert PrivateApt(str(tmp_path), "http://m.test").closure() == [
        Package("libc6", "2.31-13", "libc6_2.31-13_amd64.deb", 17, 64 * "a")]
    assert asked[1] == ["download", "--print-uris", "libc6=2.31-13", "python3-caffe"]


def test_fetch_asks_only_for_files_that_are_missing_or_altered(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "_keyring", lambda: "/k.gpg")
    monkeypatch.setattr(debian, "_network_settings", lambda: [])
    whole, altered, missing = (package_of(name) for name in ("whole", "altered", "missing"))
    debs = tmp_path / "debs"
    debs.mkdir()
    (debs / whole.file).write_bytes(b"data")
    (debs / altered.file).write_bytes(b"dat4")
    asked, steps = [], []
    monkeypatch.setattr(PrivateApt, "run", lambda self, arguments, cwd=None: asked.append(
        (arguments, cwd)))
    PrivateApt(str(tmp_path / "apt"), "http://m.test").fetch([whole, altered, missing], str(debs),
                                                             lambda: steps.append(1))
    assert asked == [(["download", "altered=1:2-3", "missing=1:2-3"], str(debs))]
    assert len(steps) == 3


def test_an_altered_file_of_the_right_size_is_not_whole(tmp_path):
    package = package_of("x")
    path = tmp_path / package.file
    path.write_bytes(b"daty")
    assert not debian.is_whole(str(path), package)
    path.write_bytes(b"data")
    assert debian.is_whole(str(path), package)
    assert not debian.is_whole(str(tmp_path / "none"), package)


def test_a_machine_without_the_archive_keyring_gets_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(os.path, "isfile", lambda path: False)
    with pytest.raises(InputError, match="debian-archive-keyring"):
        debian._keyring()
