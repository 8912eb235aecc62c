#!/usr/bin/env python3
"""check-rooms.py [--self-test] [DIRECTORY]: whether the rooms of each module name each other in the allowed order.

The compiler keeps the borders between the modules; inside one (HandshakeProbe's hot path is compiled as one) this does.
It knows types, free functions and globals, and members that a room adds to types of others, as far as their names are
unambiguous: what is declared in two rooms, or has a local namesake in the file, is passed over.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# Of each module each room, from the bottom up, and the rooms that it may name: all of their names, or only those listed.
ANY = None
VOCABULARY = {
    "SessionRules", "SessionFacts", "KernelStates", "EntryState", "EntryKind", "ExitState", "Exit", "KeyChange",
    "FailureReason", "TransportError", "SentMessage",
}
ROOMS = {
    "Handshakes": {
        "Model": {},
        "Fields": {"Model": ANY},
        "Windows": {"Model": ANY},
        "Query": {"Model": ANY, "Fields": ANY, "Windows": ANY},
        "Metrics": {"Model": ANY, "Fields": ANY, "Windows": ANY},
        "Exposition": {"Model": ANY, "Fields": ANY, "Windows": ANY, "Metrics": ANY},
    },
    "HandshakeProbe": {
        "Messages": {},
        "Events": {},
        "Sessions": {"Messages": ANY, "Events": ANY},
        "Wire": {"Messages": ANY, "Events": ANY, "Sessions": ANY},
        "Stacks": {"Events": ANY, "Sessions": VOCABULARY},
        "Attach": {"Events": ANY, "Stacks": ANY, "Sessions": VOCABULARY},
        "Discovery": {"Events": ANY, "Sessions": VOCABULARY, "Stacks": ANY, "Attach": ANY},
        "Engine": {
            "Events": ANY, "Sessions": ANY, "Wire": ANY, "Stacks": ANY, "Attach": ANY, "Discovery": ANY,
        },
    },
    "tlswatch": {
        "Files": {},
        "Basics": {"Files": ANY},
        "Output": {"Basics": ANY},
        "StatusPage": {"Output": ANY},
        "Service": {"Basics": ANY, "Output": ANY},
        "Configuration": {"Files": ANY, "Basics": ANY, "Service": ANY},
        "Web": {"Files": ANY, "Basics": ANY, "StatusPage": ANY, "Service": ANY},
        "Export": {"Basics": ANY, "Service": ANY},
        "Commands": {
            "Basics": ANY, "Output": ANY, "Service": ANY, "Configuration": ANY, "Web": ANY, "Export": ANY,
        },
    },
}

# What a module may import; SwiftPM lets it import whatever happens to be built. ANY: Package.swift alone decides.
IMPORTS = {
    "Handshakes": {"FoundationEssentials", "Glibc", "OTLPProtobuf", "PrometheusProtobuf", "SwiftProtobuf"},
    "Code": {"CCapstone", "Glibc", "Synchronization"},
    "Kernel": {"CBPF", "CEvents", "Dispatch", "Glibc", "Synchronization"},
    "Wire": {"Crypto", "CryptoExtras", "Handshakes"},
    "HandshakeProbe": {
        "CCapstone", "CEvents", "Code", "Dispatch", "FoundationEssentials", "Glibc", "Handshakes", "Kernel", "Synchronization",
        "Wire",
    },
    "tlswatch": ANY,
}

# Of what a module may import: the rooms that alone may.
ROOMS_ONLY = {
    "Handshakes": {
        "FoundationEssentials": {"Exposition"}, "OTLPProtobuf": {"Exposition"}, "PrometheusProtobuf": {"Exposition"},
        "SwiftProtobuf": {"Exposition"},
    },
    "HandshakeProbe": {
        "CCapstone": {"Stacks"},
        "Code": {"Stacks", "Attach", "Discovery", "Engine"},
        "FoundationEssentials": {"Events", "Discovery", "Engine"},
        "Wire": {"Sessions", "Wire"},
        "Kernel": {"Events", "Sessions", "Attach", "Discovery", "Engine"},
    },
}

# Names of members that other things have too, here or in the standard library.
COMMON = {"description", "init", "hash", "first", "last", "count", "map", "name", "value", "values", "index", "update",
    "add", "cookie", "flags",
}

MODIFIERS = (
    r"(?:(?:public|package|internal|final|indirect|static|mutating|nonisolated|convenience|consuming|borrowing"
    r"|@\w+(?:\([^)]*\))?)\s+)*"
)
TYPE = re.compile(rf"^{MODIFIERS}(?:struct|class|enum|protocol|actor|typealias)\s+([A-Z]\w*)", re.M)
GLOBAL = re.compile(rf"^{MODIFIERS}(?:func|let|var)\s+([A-Za-z_]\w*)", re.M)
EXTENSION = re.compile(rf"^{MODIFIERS}extension\s+([A-Za-z_]\w*)[^{{\n]*\{{\n(.*?)^\}}", re.M | re.S)
MEMBER = re.compile(rf"^    {MODIFIERS}(?:func|let|var|struct|class|enum)\s+([A-Za-z_]\w*)", re.M)
IMPORT = re.compile(r"^(?:@\w+ )?(?:public |package |private )?import (?:\w+ )?(\w+)", re.M)
LOCAL = re.compile(r"\b(?:func|let|var|case)\s+([A-Za-z_]\w*)|\b([a-z]\w*)\s*:")


def code_of(text):
    """Without comments; of string literals only what is interpolated."""
    text = re.sub(r"//.*", "", text)

    def interpolated(literal):
        return '"' + " ".join(re.findall(r"\\\(([^\"]*)", literal.group(0))) + '"' + "\n" * literal.group(0).count("\n")

    text = re.sub(r'"""(?:.|\n)*?"""', interpolated, text)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', interpolated, text)


def read(top):
    """The code of every module with rules, by its path below `top`."""
    return {
        str(path.relative_to(top)): code_of(path.read_text())
        for module in IMPORTS
        for path in sorted((top / "Sources" / module).rglob("*.swift"))
    }


class Room:
    def __init__(self, module, name, tree):
        self.name = name
        self.allowed = ROOMS[module][name]
        self.files = {path: text for path, text in tree.items() if path.startswith(f"Sources/{module}/{name}/")}
        everything = "\n".join(self.files.values())
        self.types = set(TYPE.findall(everything))
        self.globals = set(GLOBAL.findall(everything))
        self.added = set()
        for target, body in EXTENSION.findall(everything):
            if target not in self.types:
                self.added |= set(MEMBER.findall(body))
        self.members = set(re.findall(r"\b(?:func|let|var|case)\s+([a-z_]\w*)", everything))


def strangers(room, rooms, text):
    """Names in a file of a room that the room may not name, and whose they are: (position, name, room)."""
    local = {name for pair in LOCAL.findall(text) for name in pair if name}
    owners = {}
    members = {}
    for other in rooms.values():
        allowed = room.allowed.get(other.name, set())
        if other is room or allowed is ANY:
            continue
        for name in (other.types - room.types | other.globals - room.globals - local) - allowed:
            owners[name] = other.name
        elsewhere = set().union(*(each.members for each in rooms.values() if each is not other))
        for name in other.added - elsewhere - local - COMMON - allowed:
            members[name] = other.name
    for match in re.finditer(r"(\.?)\b([A-Za-z_]\w*)\b(\s*:)?", text):
        point, name, label = match.groups()
        owner = members.get(name) if point else owners.get(name)
        # A label is no use of a function that is called so; a type before a colon has protocols behind it.
        if owner and not (label and name[0].islower()):
            yield match.start(2), name, owner


def arrows(tree):
    """What is wrong: (file, line, who names what)."""
    found = []

    def note(path, position, words):
        found.append((path, tree[path].count("\n", 0, position) + 1, words))

    for path, text in tree.items():
        module = path.split("/")[1]
        for match in IMPORT.finditer(text):
            if IMPORTS[module] is not ANY and match.group(1) not in IMPORTS[module]:
                note(path, match.start(), f"{module} may not import {match.group(1)}")
    for module, order in ROOMS.items():
        places = {path.split("/")[2] for path in tree if path.startswith(f"Sources/{module}/")}
        if unknown := sorted(places - set(order)):
            sys.exit(f"check-rooms: no order is written down for {', '.join(unknown)} in {module}")
        rooms = {name: Room(module, name, tree) for name in order}
        for room in rooms.values():
            for path, text in room.files.items():
                for match in IMPORT.finditer(text):
                    if room.name not in ROOMS_ONLY.get(module, {}).get(match.group(1), order):
                        note(path, match.start(), f"{room.name} may not import {match.group(1)}")
                for position, name, owner in strangers(room, rooms, text):
                    note(path, position, f"{room.name} may not name {name} of {owner}")
    return sorted(set(found))


def check(top):
    found = arrows(read(top))
    for path, line, words in found:
        print(f"{path}:{line}: {words}", file=sys.stderr)
    return not found


def self_test(top):
    """Whether each kind of arrow is seen that is planted in a copy, and nothing is seen where there is none."""
    room = "Sources/HandshakeProbe/"
    trials = {
        "a type": {room + "Sessions/Planted.swift": "struct Planted { let engine: Engine }"},
        "a type in a signature": {room + "Attach/Planted.swift": "func planted(_ catalog: LibraryCatalog) {}"},
        "what is no vocabulary": {room + "Stacks/Planted.swift": "struct Planted { var table: SessionTable }"},
        "a static member": {room + "Events/Planted.swift": "func planted() { _ = OpenSSL.name }"},
        "a free function": {
            room + "Engine/Planted.swift": "func plantedInEngine() {}",
            room + "Sessions/Planted.swift": "struct Planted { func run() { plantedInEngine() } }",
        },
        "a function that is passed": {
            room + "Engine/Planted.swift": "func plantedInEngine() {}",
            room + "Events/Planted.swift": "struct Planted { var now: () -> Void = plantedInEngine }",
        },
        "an extension's member": {
            room + "Discovery/Planted.swift": "extension Int {\n    var plantedInDiscovery: Int { self }\n}",
            room + "Stacks/Planted.swift": "struct Planted { var sum: Int { 1.plantedInDiscovery } }",
        },
        "an interpolation": {room + "Events/Planted.swift": 'func planted() { print("\\(Engine.self)") }'},
        "a module of other rooms": {room + "Events/Planted.swift": "import Code"},
        "C that only Kernel may import": {room + "Engine/Planted.swift": "import CBPF"},
        "a module above": {"Sources/Handshakes/Model/Planted.swift": "import Kernel"},
        "a room above in Handshakes": {
            "Sources/Handshakes/Windows/Planted.swift": "struct Planted { var format: TextExposition }",
        },
        "a room above in the command": {
            "Sources/tlswatch/Service/Planted.swift": "struct Planted { let server: MetricsServer }",
        },
    }
    tree = read(top)
    before = arrows(tree)
    missed = []
    for name, planted in trials.items():
        code = {path: code_of(text + "\n") for path, text in planted.items()}
        if len(arrows(tree | code)) != len(before) + 1:
            missed.append(name)
    harmless = code_of('// Engine\nfunc planted() { print("Engine") }\n')
    if arrows(tree | {room + "Events/Planted.swift": harmless}) != before:
        missed.append("that a comment and a text name nobody")
    # Once as it is run: in a copy on disk.
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(top / "Sources", pathlib.Path(scratch) / "Sources")
        for path, text in trials["a type"].items():
            (pathlib.Path(scratch) / path).write_text(text + "\n")
        run = subprocess.run([sys.executable, __file__, scratch], capture_output=True, text=True, check=False)
        if run.returncode != 1 or "Sessions may not name Engine of Engine" not in run.stderr:
            missed.append("an arrow in a copy, by the exit status")
    for name in missed:
        print(f"check-rooms: not seen: {name}", file=sys.stderr)
    return not missed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent)
    parser.add_argument("--self-test", action="store_true", help="whether arrows that are planted in a copy are seen")
    arguments = parser.parse_args()
    top = arguments.directory.resolve()
    if not (self_test(top) if arguments.self_test else check(top)):
        sys.exit(1)


if __name__ == "__main__":
    main()
