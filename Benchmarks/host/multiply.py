"""Makes a recording of many handshakes out of one of few: each record again and again, later, of other TLS objects."""
import json
import struct

RECORD, HEADER = 1, 40
CALL_RETURN, STEP, SOCKET = 2, 3, 4
STEP_SIZE = 32


class Layout:
    """Where a returned call has what is needed here, by the recording's wire version."""

    def __init__(self, version):
        is_old = version < 5
        self.return_size, self.steps = (160, 76) if is_old else (240, 116)
        self.return_times = [40, 48, 56] if is_old else [40, 48, 56, 96]


def read(path):
    """The header, the frames that name libraries and processes, and the records."""
    with open(path, "rb") as file:
        data = file.read()
    end = data.index(b"\n")
    header, offset = json.loads(data[:end]), end + 1
    others, records = [], []
    while offset < len(data):
        kind, _, length = struct.unpack_from("<HHI", data, offset)
        body = data[offset + 8:offset + 8 + length]
        (records if kind == RECORD else others).append((kind, body))
        offset += 8 + length
    return header, others, [bytearray(body) for _, body in records]


def times(record, layout):
    """Where the record has times: nanoseconds, of which 0 is none."""
    kind, = struct.unpack_from("<H", record, 32)
    places = [0]
    if kind == CALL_RETURN:
        steps, = struct.unpack_from("<H", record, layout.steps)
        places += layout.return_times
        for step in range(steps):
            places += [layout.return_size + STEP_SIZE * step, layout.return_size + STEP_SIZE * step + 8]
    elif kind == STEP:
        places += [40, 48]
    elif kind == SOCKET:
        places += [48, 56]
    return places


def multiply(source, target, sessions, rate, seconds):
    """Writes `seconds` of `rate` sessions a second, out of a recording that holds `sessions`."""
    header, others, records = read(source)
    layout = Layout(header["wireVersion"])
    copies = rate * seconds // sessions
    interval = sessions * 1_000_000_000 // rate
    objects = [record for record in records if struct.unpack_from("<Q", record, 16)[0]]
    start = min(struct.unpack_from("<Q", record, 0)[0] for record in objects)
    out = []
    for record in objects:
        places = [(place, struct.unpack_from("<Q", record, place)[0]) for place in times(record, layout)]
        address, = struct.unpack_from("<Q", record, 16)
        for copy in range(copies):
            for place, time in places:
                if time:
                    struct.pack_into("<Q", record, place, time + copy * interval)
            # Other objects, within what an address can be.
            struct.pack_into("<Q", record, 16, (address ^ (copy << 20)) & 0x7fffffffffff)
            out.append((places[0][1] - start + copy * interval, bytes(record)))
    out.sort(key=lambda entry: entry[0])
    with open(target, "wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        for kind, body in others:
            file.write(struct.pack("<HHI", kind, 0, len(body)) + body)
        for _, body in out:
            file.write(struct.pack("<HHI", RECORD, 0, len(body)) + body)
    return copies * sessions
