"""What is done to a process from outside, besides signals: one thread held, too little memory or CPU, a clock that lies,
system calls that fail."""

import contextlib
import ctypes
import errno
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from experiment import NotRun
from services import wait_until

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_ALL = 0x40000000  # __WALL: threads of others, too
FORGETFUL_FS = pathlib.Path(__file__).resolve().parent / "forgetful_fs.py"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
FIU = "/usr/lib/fiu/fiu_{}_preload.so"
FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def thread_of(process, name):
    """The id of the thread that the program calls so."""
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"{process.name} has no thread {name}")


@contextlib.contextmanager
def held_thread(process, name):
    """Stops one thread of a process, by ptrace; the others run on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    def ptrace(request):
        if libc.ptrace(request, thread, None, None) != 0:
            code = ctypes.get_errno()
            if code == errno.EPERM:
                raise NotRun("ptrace of an own child is not permitted here")
            raise OSError(code, f"ptrace of thread {name}")

    thread = thread_of(process, name)
    ptrace(PTRACE_SEIZE)
    ptrace(PTRACE_INTERRUPT)
    os.waitpid(thread, WAIT_ALL)
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH)


@contextlib.contextmanager
def cgroup(controller, **limits):
    """A cgroup (version 1) with these limits; gives a command prefix that runs a program in it."""
    directory = CGROUPS / controller / f"gptvq-chaos-{os.getpid()}"
    try:
        directory.mkdir()
        for name, value in limits.items():
            (directory / f"{controller}.{name}").write_text(str(value))
    except OSError as error:
        raise NotRun(f"no cgroup of version 1 can be made for {controller}: {error.strerror}") from error
    try:
        yield ("sh", "-c", f'echo $$ > {directory}/tasks && exec "$@"', "sh")
    finally:
        wait_until(lambda: not (directory / "tasks").read_text(), "the cgroup to be empty")
        directory.rmdir()


def need(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise NotRun(f"{', '.join(missing)} not found: tools/install_packages.sh chaos")


def need_root(what):
    if os.geteuid() != 0:
        raise NotRun(f"{what} needs root")


class FailingCalls:
    """System calls of a process that fail, by libfiu: pass environment() to the process, then enable() and disable()."""

    def __init__(self, directory):
        need("fiu-ctrl")
        self.base = pathlib.Path(directory) / "fiu"

    def environment(self):
        return {"LD_PRELOAD": f"{FIU.format('run')} {FIU.format('posix')}", "FIU_CTRL_FIFO": str(self.base)}

    def enable(self, process, name, probability=1.0, failinfo=errno.EIO):
        """`name` is one of libfiu's, for instance posix/io/sync/fsync; a prefix with * stands for many."""
        kind = "enable_random"
        self._control(process, f"{kind} name={name},probability={probability},failinfo={failinfo}")

    def disable(self, process, name):
        self._control(process, f"disable name={name}")

    def _control(self, process, command):
        subprocess.run(["fiu-ctrl", "-f", str(self.base), "-c", command, str(process.pid)], check=True,
                       capture_output=True)


class LyingClock:
    """The wall clock of a process, set and moved by libfaketime; its monotonic clock runs true."""

    def __init__(self, directory, offset="+0", monotonic="true"):
        if not FAKETIME.exists():
            raise NotRun("libfaketime not found: tools/install_packages.sh chaos")
        self.file = pathlib.Path(directory) / "clock"
        self.monotonic = monotonic
        self.set(offset)

    def environment(self):
        environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1"}
        return environment | ({"FAKETIME_DONT_FAKE_MONOTONIC": "1"} if self.monotonic == "true" else {})

    def set(self, offset):
        """As libfaketime has it: +1h, -1d, +0 x2."""
        part = self.file.with_suffix(".part")
        part.write_text(offset + "\n")
        part.rename(self.file)


@contextlib.contextmanager
def small_file_system(directory, size_bytes):
    """A tmpfs of this size."""
    need_root("mounting a tmpfs")
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(directory)],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        raise NotRun(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


class ForgetfulDisk:
    """A mounted forgetful_fs.py."""

    def __init__(self, directory):
        self.mount = directory / "data"
        self.backing = directory / "synced"
        self.mount.mkdir()
        self.backing.mkdir()
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, str(FORGETFUL_FS), str(self.backing), str(self.mount)])
        wait_until(lambda: os.path.ismount(self.mount) or self.process.poll() is not None, "the FUSE file system")
        if self.process.poll() is not None:
            raise NotRun("a FUSE file system cannot be mounted here")

    def end(self):
        self.process.kill()
        self.process.wait()
        subprocess.run(["umount", "--lazy", str(self.mount)], check=True)

    def lose_power(self):
        self.end()
        self.start()


@contextlib.contextmanager
def forgetful_disk(lab):
    need_root("mounting a FUSE file system")
    if not importlib.util.find_spec("fusepy"):
        raise NotRun("python3-fusepy not found: tools/install_packages.sh chaos")
    disk = ForgetfulDisk(lab.root)
    try:
        yield disk
    finally:
        disk.end()


@contextlib.contextmanager
def filled(directory):
    """Takes all space that a file system has left, and gives it back."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix="ballast-", buffering=0) as ballast:
        block = bytes(64 << 10)
        while block:
            try:
                ballast.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                block = block[:len(block) // 2]  # smaller and smaller until nothing fits
        yield
