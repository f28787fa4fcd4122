"""Writes the bill of materials of an image in CycloneDX, from the package records in the image.

    python3 -m image.sbom [ARCHIVE] [OUTPUT]        default: the archive that image.build wrote, and the same folder

Every Debian and Python package is a component, with its version and the licence of its own records. The format is
https://cyclonedx.org/docs/1.6/json/; the content does not depend on the time or the machine.
"""

import argparse
import csv
import email.parser
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from image.archive import Archive, File
from image.build import default_output

__all__ = ("components", "main")

_STATUS_D: Final = "/var/lib/dpkg/status.d/"
_DIST_INFO: Final = re.compile(r"(.*/dist-packages)/[^/]+\.dist-info/METADATA")
_OWN: Final = "aws-oidc-sidecar"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bill of materials and return 0; 2 if there is no archive."""
    parser = argparse.ArgumentParser("python3 -m image.sbom", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archive", type=Path, nargs="?", default=default_output(), help="default: %(default)s")
    parser.add_argument(
        "output", type=Path, nargs="?", help="default: the path of the archive with the suffix .cdx.json"
    )
    given = parser.parse_args(arguments)
    output = given.output or given.archive.with_suffix(".cdx.json")
    try:
        output.write_text(json.dumps(document(Archive(given.archive)), indent=2) + "\n")
    except (OSError, ValueError) as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 2
    print(output)
    return 0


def document(archive: Archive) -> dict[str, Any]:
    """Return the bill of materials."""
    found = [component for component, _ in components(archive)]
    (own,) = [component for component in found if component["name"] == _OWN]
    used = [component for component in found if component is not own]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own | {"type": "container"}},
        "components": used,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [component["bom-ref"] for component in used]}],
    }


def components(archive: Archive) -> list[tuple[dict[str, Any], list[str]]]:
    """Return all packages, sorted by purl, each with the absolute paths that its record lists."""
    files = {file.path: file for file in archive.files()}
    distribution = _fields(_text(files["/usr/lib/os-release"]), "=")
    found = []
    for path, file in files.items():
        metadata = _DIST_INFO.fullmatch(path)
        if metadata:
            found.append(_python(file, files, metadata[1]))
        elif path.startswith(_STATUS_D) and file.content and not path.endswith(".md5sums"):
            found.append(_debian(file, files, f"debian-{distribution['VERSION_ID'].strip(chr(34))}"))
    return sorted(found, key=lambda one: str(one[0]["purl"]))


def _debian(file: File, files: dict[str, File], distribution: str) -> tuple[dict[str, Any], list[str]]:
    fields = _fields(_text(file), ": ")
    name, version = fields["Package"], fields["Version"]
    # Advisories of Debian name source packages: their name, and their version if it differs.
    source = quote(re.sub(r" \((.*)\)", r"@\1", fields.get("Source", name)), safe="")
    qualifiers = f"arch={fields['Architecture']}&distro={distribution}&upstream={source}"
    component = _component(name, version, f"pkg:deb/debian/{name}@{quote(version, safe='')}?{qualifiers}")
    copyright_file = _follow(files, f"/usr/share/doc/{name}/copyright")
    # https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/; a file in another format gives no licence.
    if copyright_file and _text(copyright_file).startswith("Format:"):
        short = {match.strip() for match in re.findall(r"^License: *(\S.*)$", _text(copyright_file), re.MULTILINE)}
        component["licenses"] = [{"license": {"name": text}} for text in sorted(short)]
    sums = _text(files[f"{file.path}.md5sums"])
    return component, [f"/{line.partition('  ')[2]}" for line in sums.splitlines()]


def _python(file: File, files: dict[str, File], packages: str) -> tuple[dict[str, Any], list[str]]:
    metadata = email.parser.Parser().parsestr(_text(file), headersonly=True)
    name, version = str(metadata["Name"]), str(metadata["Version"])
    component = _component(name, version, f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version)}")
    classified = [text for text in metadata.get_all("Classifier", []) if text.startswith("License :: ")]
    # The text of the authors: it does not say which licence "BSD License" is.
    named = [text.rpartition(" :: ")[2] for text in classified] or [str(metadata["License"]).partition("\n")[0]]
    expression = metadata["License-Expression"]
    component["licenses"] = (
        [{"expression": expression}] if expression else [{"license": {"name": text}} for text in sorted(named)]
    )
    record = csv.reader(_text(files[file.path.replace("METADATA", "RECORD")]).splitlines())
    return component, [f"{packages}/{row[0]}" for row in record]


def _component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _fields(text: str, separator: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if separator in line and not line.startswith(" ")]
    return {name: value for name, _, value in (line.partition(separator) for line in lines)}


def _follow(files: dict[str, File], path: str) -> File | None:
    """Return the file at a path; the last folder of the path can be a link to a folder next to it."""
    folder, _, name = path.rpartition("/")
    link = files.get(folder)
    if link and link.info.issym():
        folder = f"{folder.rpartition('/')[0]}/{link.info.linkname}"
    return files.get(f"{folder}/{name}")


def _text(file: File) -> str:
    return file.content.decode("utf-8")


if __name__ == "__main__":
    sys.exit(main())
