#!/usr/bin/env python3
"""manifest.py WHEEL FILE VERSION…: holds each document of a Kubernetes manifest against the API's strict schemas.

WHEEL is PyPI's kubernetes-validate, of which only the schemas are used; a field that the API does not know is an
error. Needs Debian's python3-yaml and python3-jsonschema. Says which documents it has checked.
"""

import json
import re
import sys
import zipfile

import jsonschema
import yaml

wheel, path, *versions = sys.argv[1:]
archive = zipfile.ZipFile(wheel)
documents = [document for document in yaml.safe_load_all(open(path)) if document]
failures = 0
for version in versions:
    folder = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict"
    definitions = json.loads(archive.read(f"{folder}/_definitions.json"))
    for document in documents:
        # apps/v1 is in daemonset-apps-v1.json, networking.k8s.io/v1 in networkpolicy-networking-v1.json.
        group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", document["apiVersion"])
        schema = json.loads(archive.read(f"{folder}/{document['kind'].lower()}-{group}.json"))
        resolver = jsonschema.RefResolver(
            schema["$id"], schema, store={"https://kubernetes.io/api/_definitions.json": definitions})
        errors = list(jsonschema.Draft202012Validator(schema, resolver=resolver).iter_errors(document))
        for error in errors:
            failures += 1
            place = ".".join(str(part) for part in error.absolute_path)
            print(f"{document['kind']} ({version}): {place}: {error.message[:300]}", file=sys.stderr)
    print(f"{version}: {' '.join(document['kind'] for document in documents)}")
sys.exit(1 if failures else 0)
