"""Which commit of the project runs."""
import subprocess

from data.files import ROOT


def git_state():
    """{"commit", "dirty"} of the repository; None where there is no git."""
    def ask(*arguments):
        return subprocess.run(("git", "-C", ROOT) + arguments, check=True, universal_newlines=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    try:
        return {"commit": ask("rev-parse", "HEAD"),
                "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None
