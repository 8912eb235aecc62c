"""validate_sessions.py SCHEMA: holds each line of standard input to a JSON Schema. Prints how many there were, and what
is wrong with those that do not fit; ends with 1 then. Needs Debian's python3-jsonschema."""
import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
count, faults = 0, 0
for line in sys.stdin:
    count += 1
    for error in validator.iter_errors(json.loads(line)):
        faults += 1
        print(f"{error.json_path}: {error.message}: {line}", file=sys.stderr)
print(count)
sys.exit(1 if faults else 0)
