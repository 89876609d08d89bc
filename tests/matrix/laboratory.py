"""Where cases run: a sound model with its texts and result, programs run to their end, and coordinators that serve."""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import service_harness  # noqa: E402  pylint: disable=wrong-import-position
from service_harness import BIN, Cluster, Model, wait_until  # noqa: E402  pylint: disable=wrong-import-position

from calls import Caller, message  # noqa: E402  pylint: disable=wrong-import-position
from case import Seen, check  # noqa: E402  pylint: disable=wrong-import-position
from certificates import Authority  # noqa: E402  pylint: disable=wrong-import-position
from damage import linear_weight  # noqa: E402  pylint: disable=wrong-import-position

SECONDS = 60  # for any program: a hang is a broken promise
service_harness.DEADLINE_SECONDS = SECONDS
FAST = ["--preset", "2d-3.125bpv", "--group-weights", "512", "--em-iterations", "2"]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TRACE = re.compile(r"^\s*#\d+ |terminate called|Segmentation|Sanitizer|libprotobuf", re.MULTILINE)


class Coordinator(Cluster):
    """A coordinator of a case's own, whose leases outlive any pause of this machine."""

    def __init__(self, directory, *flags, data=None, prefix=()):
        super().__init__(directory)
        self.data = pathlib.Path(data or self.directory / "data")
        self.flags = [str(flag) for flag in flags]
        self.prefix = list(prefix)

    def start_coordinator(self, listen):
        address_file = self.directory / "address"
        address_file.unlink(missing_ok=True)
        command = [*self.prefix, BIN / "gptvq-coordinator", "--listen", listen, "--data-dir", self.data, "--lease-ttl-ms",
                   "600000", "--address-file", address_file, *self.flags]
        with open(self.directory / "coordinator.log", "ab") as log:
            self.coordinator = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        self.processes.append(self.coordinator)
        self.await_coordinator(address_file)

    def footprint(self):
        """(resident bytes, open descriptors, threads) of the coordinator."""
        proc = pathlib.Path(f"/proc/{self.coordinator.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return int(status["VmRSS"].split()[0]) << 10, len(list((proc / "fd").iterdir())), int(status["Threads"])


class Laboratory:
    """Shared by all cases; thread-safe."""

    def __init__(self):
        self.closing = contextlib.ExitStack()
        self.root = pathlib.Path(self.closing.enter_context(tempfile.TemporaryDirectory(prefix="gptvq-matrix-")))
        self.holding = threading.Lock()  # by the one case at a time that plays a worker
        self.measured = []  # figures besides the rows
        model = Model(layers=1, hidden=32)
        self.closing.callback(model.remove)
        self.sound = self.root / "sound"
        shutil.copytree(model.directory, self.sound)
        (self.sound / "state").mkdir()
        made = self.client_on("quantize", self.sound)
        check(made.code == "exit 0", made.message)
        (self.sound / "out").rename(self.sound / "result")
        linear_weight(0.5, -1.5)(self.sound)

    def folder(self):
        """A new, empty one."""
        return pathlib.Path(tempfile.mkdtemp(dir=self.root))

    def case(self):
        """A folder with `model`, `result` and the texts, all sound."""
        root = self.folder()
        shutil.copytree(self.sound, root, dirs_exist_ok=True)
        return root

    # Programs that end.

    def run(self, *command, prefix=(), stdin=subprocess.DEVNULL, **environment):
        """Any program; (what was seen, its standard output). Nothing of what it says may be unfit for a terminal."""
        words = [word if isinstance(word, bytes) else str(word) for word in (*prefix, *command)]
        try:
            result = subprocess.run(words, stdin=stdin, capture_output=True, timeout=SECONDS, check=False,
                                    env={**os.environ, "HOME": str(self.root), **environment})
        except subprocess.TimeoutExpired as hanging:
            raise AssertionError(f"it hangs: {command}") from hanging
        said = result.stderr.decode(errors="surrogateescape")
        check(result.returncode >= 0, f"killed by signal {-result.returncode}: {said[-500:]}")
        check(not CONTROL.search(said), f"control characters in {said!r}"[:500])
        check(not TRACE.search(said), f"a trace in {said!r}"[:500])
        check(len(said) < 8000, f"a message of {len(said)} bytes")
        return Seen(f"exit {result.returncode}", said.strip()), result.stdout

    def refused(self, *command, **options):
        """A program that must print nothing on its standard output."""
        seen, printed = self.run(*command, **options)
        check(printed == b"", f"it printed {printed[:200]}")
        return seen

    def client(self, *words, **options):
        return self.refused(BIN / "gptvq-client", *words, **options)

    def coordinator(self, *words, **options):
        return self.refused(BIN / "gptvq-coordinator", *words, **options)

    def worker(self, *words, **options):
        return self.refused(BIN / "gptvq-worker", *words, **options)

    @functools.cache  # pylint: disable=method-cache-max-size-none  # it lives as long as the process
    def help(self, program):
        """What a program says of its flags: newer builds have more."""
        return self.run(BIN / program, "--help")[1].decode()

    @functools.cached_property
    def numerics_class(self):
        """That of this machine's workers."""
        return re.search(r"numerics_class=(\S+)", self.run(BIN / "gptvq-worker", "--selftest")[0].message)[1]

    def client_with_profiles(self, contents):
        path = self.folder() / "profiles.json"
        path.write_bytes(contents)
        return self.run(BIN / "gptvq-client", "verify", self.sound / "result", "--storage-profiles", path)[0]

    @staticmethod
    def job_flags(root):
        text = next(root.glob("calibration.*"), root / "calibration.txt")
        return ["--model", root / "model", "--calibration", text, "--samples", 4, "--sequence-length", 32]

    def client_on(self, command, root):
        """A command of gptvq-client on the files of a case's folder."""
        text = next(root.glob("calibration.*"), root / "calibration.txt")
        output = ["--output", root / "out", "--state-dir", root / "state"]
        words = {
            "quantize": lambda: ["quantize", *self.job_flags(root), *FAST, *output, "--threads", 1],
            "submit": lambda: ["submit", *self.job_flags(root), *FAST, *output, "--coordinator", self.served.address],
            "quantize 4d": lambda: ["quantize", *self.job_flags(root), *output, "--preset", "4d-2.125bpv"],
            "submit 4d": lambda: ["submit", *self.job_flags(root), *output, "--preset", "4d-2.125bpv",
                                  "--coordinator", self.served.address],
            "calibration": lambda: ["calibration", "inspect", *self.job_flags(root)],
            "eval": lambda: ["eval", root / "model", "--text", text, "--sequence-length", 32],
            "eval result": lambda: ["eval", root / "result", "--text", text, "--sequence-length", 32],
            "inspect": lambda: ["inspect", root / "result"],
            "verify": lambda: ["verify", root / "result"],
            "linear": lambda: ["linear", "--weight", f"{root / 'linear.safetensors'}:w", "--hessian",
                               f"{root / 'linear.safetensors'}:h", *FAST, "--output", root / "packed.safetensors"],
        }[command]()
        seen, printed = self.run(BIN / "gptvq-client", *words)
        check(seen.code == "exit 0" or printed == b"", f"it printed {printed[:200]}")
        return seen

    def files(self, *folders):
        """What lies in folders, to see whether anything was written."""
        return {path: path.is_dir() or (path.lstat().st_size, path.lstat().st_mtime_ns) for folder in folders
                for path in folder.rglob("*")}

    @staticmethod
    def until(condition, what):
        return wait_until(condition, what)

    @staticmethod
    def request_id():
        return str(uuid.uuid4())

    @staticmethod
    def is_connected(process):
        """Whether a program has a TCP connection that stands, as the system knows it."""
        inodes = set()
        with contextlib.suppress(FileNotFoundError):
            for descriptor in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    inodes.add(os.readlink(descriptor).removeprefix("socket:[").rstrip("]"))
        tables = pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
        rows = (line.split() for line in tables.splitlines())
        return any(columns[3] == "01" and columns[9] in inodes for columns in rows if columns[0].endswith(":"))

    # Coordinators.

    def serve(self, *flags, **options):
        """A coordinator of a case's own, as a context."""
        return Coordinator(self.folder(), *flags, **options)

    @functools.cached_property
    def served(self):
        """The coordinator that all cases without special wishes share. No worker serves it."""
        return self.closing.enter_context(self.serve("--log-level", "debug"))

    @functools.cached_property
    def leasing(self):
        """The coordinator of the cases that play a worker, one at a time."""
        return self.closing.enter_context(self.serve("--log-level", "debug"))

    @functools.cached_property
    def deep(self):
        """A model of three layers, with its texts."""
        model = Model(layers=3, hidden=32)
        self.closing.callback(model.remove)
        return model.directory

    @functools.cached_property
    def authority(self):
        """Whose certificates count."""
        return Authority(self.folder())

    @functools.cached_property
    def other_authority(self):
        return Authority(self.folder())

    @functools.cached_property
    def realm(self):
        """A coordinator over TLS and those who call it, as the rows of identity want them."""
        from groups.identity import Realm  # pylint: disable=import-outside-toplevel
        return Realm(self)

    @staticmethod
    def event():
        return threading.Event()

    def caller(self, **options):
        """A connection of its own to the shared coordinator."""
        return Caller(self.served.address, **options)

    def spec(self, root=None, **changes):
        """A job that would be accepted, as a message."""
        root = root or self.sound
        fields = {"model_uri": f"file://{root}/model", "calibration_uris": [f"file://{root}/calibration.jsonl"],
                  "output_uri": f"file://{self.root}/never-written",
                  "quant": message("QuantSpec", preset="2d-3.125bpv", group_weights=512, em_iterations=2),
                  "propagation": 1, "samples": 4, "sequence_length": 32}
        return message("JobSpec", **{**fields, **changes})

    def close(self):
        """Ends the programs; they end in order, and the shared coordinator answered to the last."""
        if "served" in self.__dict__:
            with self.caller() as caller:
                seen = caller.see("GetCapabilities", message("GetCapabilitiesRequest"))
                check(seen.code == "OK", f"the shared coordinator does not answer any more: {seen}")
        self.closing.close()
