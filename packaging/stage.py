"""Lays out the folder that dpkg-buildpackage turns into the package: ``stage.py FOLDER``, run from the root."""

from __future__ import annotations

import shutil
import sys
from email.utils import formatdate
from pathlib import Path

from qflowd import __version__
from qflowd.storage.schema import MIGRATIONS

ROOT = Path(__file__).resolve().parents[1]


def stage(target: Path) -> None:
    """Make ``target`` anew."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copytree(ROOT / "build" / "qflowd", target / "program", symlinks=True)
    for file in ("etc/qflowd.yaml", "README.md", "docs/install.md"):
        shutil.copy(ROOT / file, target)
    storage_format = str(len(MIGRATIONS))
    (target / "storage-format").write_text(storage_format + "\n")
    debian = target / "debian"
    shutil.copytree(ROOT / "packaging" / "debian", debian)
    for unit in (ROOT / "systemd").iterdir():
        shutil.copy(unit, debian)
    script = debian / "qflowd.preinst"
    script.write_text(script.read_text().replace("@VERSION@", __version__).replace("@FORMAT@", storage_format))
    when = formatdate((ROOT / "CHANGELOG.md").stat().st_mtime, localtime=False)
    (debian / "changelog").write_text(
        f"qflowd ({__version__}) stable; urgency=medium\n\n  * What has changed is told in CHANGELOG.md.\n\n"
        f" -- qflowd maintainers <qflowd@localhost>  {when}\n"
    )


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
