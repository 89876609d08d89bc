"""D13-D18: settings, files of the operator, the journal, the port."""

import contextlib
import os
import socket
import sqlite3

from case import Case, check
from files import by_test

SOUND = '{"profiles": {"a": {"region": "us-east-1"}}, "places": {"models": "a"}}'
PROGRAMS = ("client", "coordinator", "worker")


def profiles(contents, *, sparse_bytes=None):
    """All three programs meet the same file of storage profiles."""

    def run(lab):
        root = lab.folder()
        path = root / "profiles.json"
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        if sparse_bytes:
            os.truncate(path, sparse_bytes)
        before = lab.files(root)
        seen = [lab.client("verify", lab.sound / "result", "--storage-profiles", path),
                lab.coordinator("--data-dir", root / "data", "--storage-profiles", path),
                lab.worker("--coordinator", "127.0.0.1:1", "--storage-profiles", path)]
        check(lab.files(root) == before, "something was written")
        return seen

    return run


def refused(row, put, contents, words, note="exit 2 in all three programs", **options):
    return Case(row, put, profiles(contents, **options), "exit 2", ("--storage-profiles", "profiles.json", *words), note)


def setting(row, put, words, text, program="coordinator", note="", **environment):
    return Case(row, put, lambda lab: getattr(lab, program)(*words(lab.folder()), **environment), "exit 2", text, note)


def lease(value):
    return setting("D14", f"--lease-ttl-ms {value!r}", lambda root: ["--data-dir", root, f"--lease-ttl-ms={value}"],
                   ("--lease-ttl-ms", "100" if value else "needs a value"),
                   note="heartbeats are a third of it, so that relation holds by itself")


def on_data(spoil, prefix=()):
    """A coordinator on a directory whose journal is spoilt."""

    def run(lab):
        root = lab.folder()
        data = root / "data"
        with lab.serve(data=data):
            pass
        spoil(data)
        before = (data / "coordinator.db").read_bytes() if (data / "coordinator.db").is_file() else None
        seen = lab.coordinator("--data-dir", data, prefix=prefix)
        if before is not None:
            check((data / "coordinator.db").read_bytes() == before, "the journal was changed")
        return seen

    return run


def statement(text):
    def spoil(data):
        with contextlib.closing(sqlite3.connect(data / "coordinator.db")) as database:
            database.executescript(text)
    return spoil


def other_product(data):
    for path in data.glob("coordinator.db*"):
        path.unlink()
    statement("CREATE TABLE bookmarks (url TEXT); PRAGMA application_id = 42;")(data)


def unreadable(lab):
    root = lab.folder()
    (root / "data").symlink_to("/proc/1/mem")
    return lab.coordinator("--data-dir", root / "data")


def port_in_use(program, words):
    def run(lab):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"
            seen = getattr(lab, program)(*words(lab, address))
            check(address in seen.message, f"the port is not named: {seen.message}")
            return seen
    return run


CASES = [
    refused("D13", "an unknown key", SOUND.replace('"places"', '"extra": 1, "places"'), ["unknown key 'extra'"]),
    refused("D13", "an unknown key of a profile", SOUND.replace('"region"', '"reigon": "x", "region"'),
            ["profiles.a has an unknown key 'reigon'"]),
    refused("D13", "a wrong type", SOUND.replace('"us-east-1"', "7"), ["profiles.a.region must be text"]),
    refused("D13", "a key twice", SOUND.replace('"places"', '"places": {}, "places"'), ["duplicate key 'places'"]),
    refused("D13", "no JSON", SOUND[:-1], ["line 1"]),
    *(lease(value) for value in ("0", "-1", "99", "3600001", "18446744073709551616", "1.5", "")),
    setting("D14",
            "GPTVQ_LEASE_TTL_MS=never",
            lambda root: ["--data-dir", root],
            "GPTVQ_LEASE_TTL_MS 'never'",
            GPTVQ_LEASE_TTL_MS="never"),
    setting("D14", "--threads 1 --device-slots 2",
            lambda root: ["--coordinator", "h:1", "--threads", "1", "--device-slots", "2"],
            ("--threads 1", "--device-slots 2"), "worker"),
    by_test("D14",
            "a size of '10 G B'",
            "platform/option_values_test",
            "ParseByteSize.KnowsBothSystemsOfUnitsAndRefusesOverflow",
            note="no flag takes a size; by the test of their parser"),
    setting("D14", "a file root that is not there",
            lambda root: ["--coordinator", "h:1", "--file-root", root / "missing"],
            ("file root", "missing", "No such file"), "worker"),
    setting("D14", "a file root that is relative", lambda root: ["--coordinator", "h:1", "--file-root", "data"],
            ("file root", "not an absolute path"), "worker"),
    refused("D16", "an empty file", "", ["line 1, column 1"]),
    Case("D16",
         "a byte-order mark and CRLF",
         lambda lab: lab.client_with_profiles(b"\xef\xbb\xbf" + SOUND.replace(" ", "\r\n").encode()),
         "exit 0",
         note="fine"),
    refused("D16", "100 MB", SOUND, ["longer than 1048576 bytes"], sparse_bytes=100_000_000),
    Case("D17", "a data directory that is a device", unreadable, "exit 4", "data"),
    Case("D17", "a journal of a newer schema", on_data(statement("PRAGMA user_version = 1000;")), "exit 6",
         ("coordinator.db", "1000")),
    Case("D17", "a journal of another program", on_data(other_product), "exit 6", "coordinator.db"),
    Case(
        "D17", "a journal that is no database",
        on_data(lambda data: [path.unlink() for path in data.glob("coordinator.db*")] + [(
            data / "coordinator.db").write_bytes(b"no database" * 1000)]), "exit 4", "coordinator.db"),
    Case("D18",
         "a port in use",
         port_in_use("coordinator", lambda lab, address: ["--data-dir", lab.folder(), "--listen", address]),
         "exit 4",
         "cannot listen",
         note="the coordinator's code for what keeps it from serving"),
    Case("D18", "a port in use for metrics",
         port_in_use("coordinator",
                     lambda lab, address: ["--data-dir", lab.folder(), "--metrics-listen", address]), "exit 4"),
]
