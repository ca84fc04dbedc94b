"""Files of others that we ship: fetch them anew, or check that they are what they were.

python tools/vendor.py --check                       compare with each VENDORED.md; needs no network
python tools/vendor.py [htmx.org --version 2.0.11]   fetch with npm (the newest without --version) and write VENDORED.md
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = """# Vendored files

{package} {version} from the npm registry ({license}). {about}
The lines that name source maps are cut off: the maps are not shipped, and browsers would ask for them.

Refresh with `python tools/vendor.py`, check with `python tools/vendor.py --check`.

Package: {integrity}

| file | sha256 as shipped |
|---|---|
"""


@dataclass(frozen=True)
class Vendored:
    """Files of one package. files: by their names here, where they are in the package."""

    package: str
    folder: Path
    files: dict[str, str]
    license: str
    about: str
    version: str = "latest"

    @property
    def record(self) -> Path:
        return self.folder / "VENDORED.md"


# Not Swagger UI's standalone preset: its bar is for documents from elsewhere, and its badge asks a validator on the
# internet.
PACKAGES = (
    Vendored(
        "swagger-ui-dist",
        ROOT / "modelport/frontends/static/swagger",
        {
            name: name
            for name in (
                "swagger-ui-bundle.js",
                "swagger-ui-bundle.js.LICENSE.txt",
                "swagger-ui.css",
                "favicon-16x16.png",
                "favicon-32x32.png",
                "LICENSE",
                "NOTICE",
            )
        },
        "Apache-2.0; LICENSE, NOTICE and swagger-ui-bundle.js.LICENSE.txt are its own",
        "`init.js` is ours.",
    ),
    # Version 2: it has been the same for years. What it could evaluate as a script is switched off by the pages.
    Vendored(
        "htmx.org",
        ROOT / "modelport/frontends/dashboard/static/vendored",
        {"htmx.min.js": "dist/htmx.min.js", "LICENSE": "LICENSE"},
        "0BSD",
        "The dashboard's pages use it to replace parts of themselves.",
        "2",
    ),
    Vendored(
        "axe-core",
        ROOT / "tests/dashboard/vendored",
        {"axe.min.js": "axe.min.js", "LICENSE": "LICENSE"},
        "MPL-2.0",
        "Only for tests: it looks for what keeps people from using a page.",
    ),
)


def fetch(package: Vendored, version: str) -> tuple[str, str]:
    """Unpack the package's files; returns its version and integrity. npm checks the latter."""
    package.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        wanted = f"{package.package}@{version}"
        command = ["npm", "pack", wanted, "--json", "--pack-destination", name]
        [packed] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=name).stdout)
        with tarfile.open(Path(name) / packed["filename"]) as archive:
            for each, where in package.files.items():
                member = archive.extractfile(f"package/{where}")
                assert member is not None, where
                with member, open(package.folder / each, "wb") as target:
                    shutil.copyfileobj(member, target)
    for each in package.files:
        _without_source_map(package.folder / each)
    return str(packed["version"]), str(packed["integrity"])


def _without_source_map(path: Path) -> None:
    if path.suffix in (".js", ".css"):
        lines = path.read_bytes().rstrip(b"\n").split(b"\n")
        if b"sourceMappingURL=" in lines[-1]:
            path.write_bytes(b"\n".join(lines[:-1]) + b"\n")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recorded(package: Vendored) -> dict[str, str]:
    """sha256 by file name, as VENDORED.md says."""
    rows = [line.strip("| \n").split(" | ") for line in package.record.read_text().splitlines() if line[:3] == "| `"]
    return {name.strip("`"): checksum.strip("`") for name, checksum in rows}


def differences(package: Vendored) -> list[str]:
    """One sentence for each file that is not as VENDORED.md says."""
    wanted = recorded(package)
    found = [f"{name} is not recorded" for name in package.files if name not in wanted]
    for name, checksum in wanted.items():
        path = package.folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif digest(path) != checksum:
            found.append(f"{name} has sha256 {digest(path)}, not {checksum}")
    return found


def refresh(package: Vendored, version: str) -> None:
    version, integrity = fetch(package, version)
    rows = "".join(f"| `{name}` | `{digest(package.folder / name)}` |\n" for name in package.files)
    names = {"package": package.package, "license": package.license, "about": package.about}
    package.record.write_text(HEAD.format(version=version, integrity=integrity, **names) + rows)
    print(f"{package.package} {version} is in {package.folder}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="only these; by default all")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where files differ")
    parser.add_argument("--version", help="which version to fetch, of one package")
    options = parser.parse_args()
    chosen = [package for package in PACKAGES if not options.packages or package.package in options.packages]
    if options.version and len(chosen) != 1:
        parser.error("--version is for one package; name it")
    if not options.check:
        for each in chosen:
            refresh(each, options.version or each.version)
    found = [f"{each.package}: {difference}" for each in chosen for difference in differences(each)]
    print(*found, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
