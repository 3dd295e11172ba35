"""The Debian 12 that machines are booted from: made once by debootstrap and kept in ``~/.cache/qflowd``.

It holds no more than a small Debian server does. What the tests install by apt (the package's dependencies, nginx) lies in apt's
own cache, so that the machines need no network. ``python -m tests.boot.base`` makes it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = "bookworm"
PRESENT = ("systemd", "systemd-sysv", "dbus", "man-db")
INSTALLABLE = ("libffi8", "libgcc-s1", "libsqlite3-0", "libssl3", "zlib1g", "nginx-light")
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter")
APT = ("apt-get", "-q", "-y", "--no-install-recommends", "-o", "APT::Keep-Downloaded-Packages=true", "-o", "APT::Sandbox::User=root")


def why_not() -> str:
    """Why no machine can be booted here; empty where it can."""
    if os.geteuid() != 0:
        return "booting a Debian takes root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} missing: `make test-boot` installs it"
    return ""


def sources() -> list[str]:
    """sources.list lines of Debian 12 as this machine's apt has them: the suite and its security updates."""
    form = "$(SITE)|$(RELEASE)|$(CODENAME)|$(REPO_URI)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=True, capture_output=True, text=True).stdout
    found = []
    for line in dict.fromkeys(listed.splitlines()):
        _, release, codename, uri = line.split("|")
        if "debian" in uri and re.fullmatch(rf"{SUITE}(-security|-updates)?", codename or release):
            found.append(f"deb {uri} {codename or release} main")
    if not found:
        raise RuntimeError(f"apt on this machine has no source for {SUITE}: the boot tests take their Debian from where apt does")
    return found


def base() -> Path:
    """The folder, made where it is not there yet. Nothing in it is ever changed afterwards."""
    lists = sources()
    key = hashlib.sha256(repr((lists, PRESENT, INSTALLABLE)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qflowd"
    target = cache / f"{SUITE}-{key}"
    if target.is_dir():
        return target
    print(f"==> a Debian 12 for the boot tests, in {target}", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    building = cache / f"{target.name}.{os.getpid()}"
    try:
        main = next(line for line in lists if line.split()[2] == SUITE)
        run("debootstrap", "--variant=minbase", f"--include={','.join(PRESENT)}", SUITE, str(building), main.split()[1])
        (building / "etc/apt/sources.list").write_text("\n".join(lists) + "\n")
        shutil.copy("/etc/resolv.conf", building / "etc/resolv.conf")
        inside = ("chroot", str(building))
        run(*inside, *APT, "update")
        run(*inside, *APT, "upgrade")
        run(*inside, *APT, "install", "--download-only", *INSTALLABLE)
        (building / "etc/hostname").write_text("qflow-box\n")
        building.rename(target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return target


def run(*command: str) -> None:
    """Run it; what it printed is shown where it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout[-4000:]}")


if __name__ == "__main__":
    if reason := why_not():
        print(f"==> no boot tests: {reason}")
        sys.exit(0)
    base()
