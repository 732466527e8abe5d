"""A minimal Debian in a folder, with ordinary users: made, entered and removed without a trace.

Everything that is mounted is mounted in a namespace that ends with the process in it. So no mount
outlives an interrupt, and the removal of the folder reaches nothing outside it.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

from data.errors import InputError
from tools.lib.signals import handled

NEEDED = {"debootstrap": "debootstrap", "unshare": "util-linux", "chroot": "coreutils",
          "ip": "iproute2", "git": "git"}
#: Certificates that the programs of a tree trust; the machine's own are copied there.
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
#: Settings that lead to the network, taken along from the machine.
CARRIED = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT",
           "PIP_DEFAULT_TIMEOUT")
#: Signals that end a measurement, after everything has been removed.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Begins a namespace of mounts and processes; all its processes end with the first one.
NAMESPACE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
ENTER = """
set -e
mount -t proc proc "$0/proc"
mkdir -p "$0/dev/shm" "$0/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm"
if [ "$1" = offline ]; then ip link set lo up; fi
shift
# not exec: the program would be process 1, to which every orphan becomes a child
chroot "$@"
"""


def check_machine():
    """Raises InputError unless this is root on a machine with the programs that are needed."""
    missing = sorted({package for name, package in NEEDED.items() if shutil.which(name) is None})
    if missing:
        raise InputError(f"missing: {', '.join(missing)}", fix=f"apt install {' '.join(missing)}")
    if os.geteuid() != 0:
        raise InputError("this needs root: debootstrap does", fix="run it with sudo, on a machine "
                                                                  "where that is harmless")


class MinimalTree:
    """A minimal Debian of one suite in the new folder `folder`.

    addresses: Debian mirrors, the first that has the suite is taken.  packages: installed beside
    the minimal base.  log: open text file for the programs' output.
    Used in a with block, which removes the folder at its end.
    """

    def __init__(self, folder, suite, addresses, packages, log):
        self.folder, self.suite, self.log = folder, suite, log
        self.addresses, self.packages = addresses, packages
        self.users = []

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            remove(self.folder)
            raise
        return self

    def __exit__(self, *problem):
        remove(self.folder)

    def _make(self):
        for address in self.addresses:
            remove(self.folder)
            done = self._logged(NAMESPACE + [
                "--mount-proc", "debootstrap", "--variant=minbase",
                f"--include={','.join(self.packages)}", self.suite, self.folder, address])
            if done == 0:
                break
        else:
            raise InputError(f"debootstrap made no {self.suite} from {', '.join(self.addresses)}",
                             fix=f"see {self.log.name}")
        for name in ("resolv.conf", "hosts"):
            shutil.copyfile("/etc/" + name, os.path.join(self.folder, "etc", name))

    def install(self, packages):
        """Installs Debian packages into the tree, and the machine's own certificates."""
        code = max(self.run(command, "root") for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-q", "-y", "--no-install-recommends"] + list(packages)))
        if code:
            raise InputError(f"apt-get could not install {' '.join(packages)} in {self.suite}",
                             fix=f"see {self.log.name}")
        if os.path.exists("/" + CERTIFICATES):
            os.makedirs(os.path.dirname(os.path.join(self.folder, CERTIFICATES)), exist_ok=True)
            shutil.copyfile("/" + CERTIFICATES, os.path.join(self.folder, CERTIFICATES))

    def add_user(self, name):
        """Adds an ordinary user with a home of its own; returns the home's path on this machine."""
        if self.run(["useradd", "--create-home", "--shell", "/bin/sh", name], "root"):
            raise InputError(f"no user could be added in {self.suite}", fix=f"see {self.log.name}")
        return os.path.join(self.folder, "home", name)

    def run(self, argv, user, offline=False, cwd=None):
        """Runs a program in the tree as `user`, its output to the log; returns its exit code.

        offline: without any network but loopback.  cwd: folder inside the tree.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        env = {"HOME": home, "USER": user, "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
               "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        env.update({name: os.environ[name] for name in CARRIED if name in os.environ})
        inside = ["/usr/bin/env", "-i"] + [f"{name}={value}" for name, value in env.items()]
        inside += ["sh", "-c", 'cd "$0" && exec "$@"', cwd or home] + list(argv)
        return self._logged(
            NAMESPACE + (["--net"] if offline else [])
            + ["sh", "-c", ENTER, self.folder, "offline" if offline else "online",
               f"--userspec={user}", self.folder] + inside)

    def output(self, argv):
        """Last line that a program in the tree prints, run as root; "" when it prints nothing."""
        start = self.log.tell()
        self.run(argv, "root")
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            file.seek(start)
            lines = file.read().splitlines()[1:]
        return lines[-1] if lines else ""

    def _logged(self, argv):
        self.log.write(f"$ {' '.join(argv[-4:])}\n")
        self.log.flush()
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=self.log,
                              stderr=subprocess.STDOUT).returncode
        self.log.seek(0, os.SEEK_END)
        return code


@contextlib.contextmanager
def working_folder(parent):
    """A new folder inside `parent`, removed at the end of the block by remove()."""
    folder = tempfile.mkdtemp(prefix="fresh-machines-", dir=parent)
    # the users of a tree look through it
    os.chmod(folder, 0o755)
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder):
    """Removes a folder; InputError, with nothing removed, where something is mounted inside.

    Nothing can be, unless somebody else has mounted it. A further interrupt waits for the end.
    """
    inside = os.path.realpath(folder) + os.sep
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        mounted = [line.split()[4] for line in lines if line.split()[4].startswith(inside)]
    if mounted:
        raise InputError(f"{mounted[0]} is mounted: {folder} is not removed",
                         fix=f"umount {mounted[0]}, then remove {folder}")
    if not os.path.exists(folder):
        return
    print(f"Removing {folder}", flush=True)
    with handled(INTERRUPTS, signal.SIG_IGN):
        shutil.rmtree(folder, ignore_errors=True)
