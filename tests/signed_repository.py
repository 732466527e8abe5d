"""Small Debian repositories for tests: packages, indexes, a key of the test's own, a web server."""
import contextlib
import functools
import glob
import http.server
import os
import shutil
import subprocess
import tempfile
import threading

from data.files import sha256

#: Programs without which no such repository can be made and read.
PROGRAMS = ("apt-get", "dpkg-deb", "dpkg-source", "gpg", "gpgconf")
missing_programs = [name for name in PROGRAMS if not shutil.which(name)]


class Key:
    """A fresh signing key in a folder of its own; close() ends gpg's agent."""

    def __init__(self, keyring):
        # gpg's agent listens at a path in this folder, which a test's own folder would make too
        # long for a socket
        self.home = tempfile.mkdtemp(prefix="gpg-", dir="/tmp")
        self.gpg("--quick-generate-key", "Test <t@house.test>", "rsa2048", "sign", "never")
        self.keyring = str(keyring)
        self.gpg("--output", self.keyring, "--export")

    def gpg(self, *arguments):
        subprocess.run(["gpg", "--homedir", self.home, "--batch", "--quiet", "--yes",
                        "--passphrase", ""] + list(arguments), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False)
        shutil.rmtree(self.home, ignore_errors=True)


def add_package(folder, name, contents, version="1"):
    """Builds a .deb of the files {path: text} into the repository in `folder`; returns its path."""
    pool = os.path.join(str(folder), "pool")
    os.makedirs(pool, exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        for path, text in dict(contents, **{"DEBIAN/control": _control(name, version)}).items():
            path = os.path.join(root, path)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        os.chmod(os.path.join(root, "DEBIAN"), 0o755)   # dpkg-deb takes no other
        path = os.path.join(pool, f"{name}_{version}_amd64.deb")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", root, path], check=True,
                       stdout=subprocess.DEVNULL)
    return path


def add_source(folder, name, version, contents):
    """Packs the files {path: text} as a native source package into the repository in `folder`."""
    pool = os.path.join(str(folder), "pool")
    os.makedirs(pool, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for path, text in contents.items():
            path = os.path.join(work, f"{name}-{version}", path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        control = os.path.join(work, f"{name}-{version}", "debian")
        os.makedirs(os.path.join(control, "source"))
        for path, text in (("control", f"Source: {name}\nMaintainer: t <t@house.test>\n\n"
                                       f"Package: {name}\nArchitecture: any\nDescription: t\n"),
                           ("changelog", f"{name} ({version}) stable; urgency=low\n\n  * t\n\n"
                                         " -- t <t@house.test>  Sat, 01 Jan 2022 00:00:00 +0000\n"),
                           ("source/format", "3.0 (native)\n")):
            with open(os.path.join(control, path), "w", encoding="utf-8") as file:
                file.write(text)
        subprocess.run(["dpkg-source", "-Zgzip", "-b", os.path.join(work, f"{name}-{version}")],
                       cwd=pool, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def publish(folder, key, suite="bullseye", valid_until=None, architectures="amd64"):
    """Writes the indexes of the repository in `folder` and signs them.

    valid_until: date after which apt refuses the index unless told otherwise.
    architectures: "" publishes source packages alone.
    """
    indexes = {"main/source/Sources": _sources(str(folder))}
    if architectures:
        indexes["main/binary-amd64/Packages"] = _packages(str(folder))
    home = os.path.join(str(folder), "dists", suite)
    lines = [f"Suite: {suite}", f"Codename: {suite}", "Date: Sat, 01 Jan 2022 00:00:00 UTC",
             "Components: main", f"Architectures: {architectures or 'all'}"]
    lines += [f"Valid-Until: {valid_until}"] if valid_until else []
    lines.append("SHA256:")
    for name, text in indexes.items():
        path = os.path.join(home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        lines.append(f" {sha256(path)} {len(text.encode())} {name}")
    release = os.path.join(home, "Release")
    with open(release, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    key.gpg("--output", os.path.join(home, "InRelease"), "--clearsign", release)
    os.unlink(release)


@contextlib.contextmanager
def served(folder):
    """Serves `folder` on loopback; gives the address and the list of paths asked for so far.

    It answers as a proxy too: a request for http://HOST/PATH finds the folder HOST, if there.
    """
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("http://"):
                self.path = self.path[len("http:/"):]
            super().do_GET()

        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def _control(name, version):
    return (f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
            "Maintainer: t <t@house.test>\nDescription: t\n")


def _packages(folder):
    stanzas = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "pool", "*.deb"))):
        name, version, _ = os.path.basename(path).split("_")
        stanzas.append(_control(name, version)
                       + f"Filename: {os.path.relpath(path, folder)}\n"
                         f"Size: {os.path.getsize(path)}\nSHA256: {sha256(path)}\n")
    return "\n".join(stanzas)


def _sources(folder):
    stanzas = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "pool", "*.dsc"))):
        name, version = os.path.basename(path)[:-len(".dsc")].split("_")
        files = [path, path[:-len(".dsc")] + ".tar.gz"]
        lines = [f" {sha256(file)} {os.path.getsize(file)} {os.path.basename(file)}"
                 for file in files]
        stanzas.append(f"Package: {name}\nBinary: {name}\nVersion: {version}\n"
                       "Architecture: any\nFormat: 3.0 (native)\nDirectory: pool\n"
                       "Checksums-Sha256:\n" + "\n".join(lines) + "\n")
    return "\n".join(stanzas)
