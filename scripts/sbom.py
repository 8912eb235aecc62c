#!/usr/bin/env python3
"""sbom.py BINARY VERSION EPOCH PACKAGE.RESOLVED DEBIAN-PACKAGE…: writes what the binary has inside as SPDX 2.3, JSON.

The Swift packages that the build resolved, the archives that were linked, and Swift's own runtime. Not all of each is inside:
the list takes no chances. The same input makes the same output.
"""
import datetime
import hashlib
import json
import re
import subprocess
import sys


def component(name, version, locator, *, download="NOASSERTION", supplier="NOASSERTION"):
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name),
        "name": name,
        "versionInfo": version,
        "downloadLocation": download,
        "supplier": supplier,
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
        ],
    }


def swift_packages(path):
    with open(path, encoding="utf-8") as file:
        pins = json.load(file)["pins"]
    for pin in sorted(pins, key=lambda pin: pin["identity"]):
        state = pin["state"]
        version = state.get("version") or state["revision"]
        location = pin["location"].removesuffix(".git")
        place = location.removeprefix("https://")
        yield component(
            pin["identity"], version, f"pkg:swift/{place}@{version}", download=f"git+{location}@{state['revision']}")


def debian_packages(names):
    for name in names:
        version, architecture, source, source_version = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}\n${Architecture}\n${source:Package}\n${source:Version}", name],
            check=True, capture_output=True, text=True).stdout.split("\n")
        one = component(
            name, version, f"pkg:deb/debian/{name}@{version}?arch={architecture}", supplier="Organization: Debian")
        one["sourceInfo"] = f"built from {source} {source_version}"
        yield one


def main():
    binary, version, epoch, resolved, *names = sys.argv[1:]
    with open(binary, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    swift = re.search(r"Swift version ([0-9.]+)", subprocess.run(
        ["swift", "--version"], check=True, capture_output=True, text=True).stdout).group(1)
    own = component("tlswatch", version, f"pkg:generic/tlswatch@{version}")
    own["licenseDeclared"] = "Apache-2.0"
    own["checksums"] = [{"algorithm": "SHA256", "checksumValue": digest}]
    own["primaryPackagePurpose"] = "APPLICATION"
    inside = [
        *swift_packages(resolved), *debian_packages(names),
        component("swift-runtime", swift, f"pkg:generic/swift-runtime@{swift}", download="https://www.swift.org"),
    ]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"tlswatch-{version}",
        # A name, unique for what is described; there is nothing to fetch.
        "documentNamespace": f"https://tlswatch.invalid/spdx/{version}/{digest}",
        "creationInfo": {
            "created": datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: tlswatch-sbom"],
        },
        "packages": [own, *inside],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": own["SPDXID"]},
            *({"spdxElementId": own["SPDXID"], "relationshipType": "CONTAINS", "relatedSpdxElement": one["SPDXID"]}
              for one in inside),
        ],
    }
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
