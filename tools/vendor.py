"""Files of others that we ship: fetch them anew, or check that they are what they were.

python tools/vendor.py --check             compare with VENDORED.md; needs no network
python tools/vendor.py [--version 5.35.0]  fetch with npm (the newest without --version) and write VENDORED.md
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "swagger-ui-dist"
FOLDER = Path(__file__).parent.parent / "modelport/frontends/static/swagger"
RECORD = FOLDER / "VENDORED.md"
# Not the standalone preset: its bar is for documents from elsewhere, and its badge asks a validator on the internet.
FILES = (
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
    "favicon-16x16.png",
    "favicon-32x32.png",
    "LICENSE",
    "NOTICE",
)
HEAD = """# Vendored files

{package} {version} from the npm registry (Apache-2.0; LICENSE, NOTICE and swagger-ui-bundle.js.LICENSE.txt are its
own). `init.js` is ours. The lines that name source maps are cut off: the maps are not shipped, and browsers would ask
for them.

Refresh with `python tools/vendor.py`, check with `python tools/vendor.py --check`.

Package: {integrity}

| file | sha256 as shipped |
|---|---|
"""


def fetch(version: str, into: Path) -> tuple[str, str]:
    """Unpack the package's files into `into`; returns its version and integrity. npm checks the latter."""
    with tempfile.TemporaryDirectory() as name:
        wanted = f"{PACKAGE}@{version}"
        command = ["npm", "pack", wanted, "--json", "--pack-destination", name]
        [packed] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=name).stdout)
        with tarfile.open(Path(name) / packed["filename"]) as archive:
            for each in FILES:
                member = archive.extractfile(f"package/{each}")
                assert member is not None, each
                with member, open(into / each, "wb") as target:
                    shutil.copyfileobj(member, target)
    for each in FILES:
        _without_source_map(into / each)
    return str(packed["version"]), str(packed["integrity"])


def _without_source_map(path: Path) -> None:
    if path.suffix in (".js", ".css"):
        lines = path.read_bytes().rstrip(b"\n").split(b"\n")
        if b"sourceMappingURL=" in lines[-1]:
            path.write_bytes(b"\n".join(lines[:-1]) + b"\n")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recorded() -> dict[str, str]:
    """sha256 by file name, as VENDORED.md says."""
    rows = [line.strip("| \n").split(" | ") for line in RECORD.read_text().splitlines() if line.startswith("| `")]
    return {name.strip("`"): checksum.strip("`") for name, checksum in rows}


def differences() -> list[str]:
    """One sentence for each file that is not as VENDORED.md says."""
    wanted = recorded()
    found = [f"{name} is not recorded" for name in FILES if name not in wanted]
    for name, checksum in wanted.items():
        path = FOLDER / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif digest(path) != checksum:
            found.append(f"{name} has sha256 {digest(path)}, not {checksum}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where files differ")
    parser.add_argument("--version", default="latest", help="which version to fetch")
    options = parser.parse_args()
    if not options.check:
        version, integrity = fetch(options.version, FOLDER)
        rows = "".join(f"| `{name}` | `{digest(FOLDER / name)}` |\n" for name in FILES)
        RECORD.write_text(HEAD.format(package=PACKAGE, version=version, integrity=integrity) + rows)
        print(f"{PACKAGE} {version} is in {FOLDER}")
    found = differences()
    print(*found, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
