"""Coordinators that share a PostgreSQL journal, and that server, under an experiment."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from service_harness import RUN_POSTGRES, PostgresServer, wait_until
from services import ChaosCluster


class ChaosPostgres(PostgresServer):
    """A PostgreSQL server that is shut down, stopped and started again."""

    def crash(self):
        """As `pg_ctl stop -m immediate`: what was not synced is lost, recovery comes first at the next start."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def start(self, *settings):
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen([str(RUN_POSTGRES), str(self.directory), *settings], stdout=log, stderr=log)
        wait_until(self.answers, "the PostgreSQL server")

    def kill(self):
        """SIGKILL of the server and all its children at once, as when its machine is gone."""
        for process in reversed(self.backends()):
            with contextlib.suppress(ProcessLookupError):  # a backend whose client just left
                os.kill(process, signal.SIGKILL)
        self.process.wait()

    def remove(self):
        if self.process.poll() is None:
            super().remove()
        else:
            shutil.rmtree(self.directory)

    def answers(self):
        return self.ask("SELECT 1") == "1"

    def ask(self, statement):
        """What the server says, as text; None when it does not answer."""
        asked = subprocess.run(["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--dbname", self.uri,
                                "--command", statement], capture_output=True, text=True, check=False)
        return asked.stdout.strip() if asked.returncode == 0 else None

    def log(self):
        return (self.directory / "server.log").read_text(errors="replace")

    def backends(self):
        """Process ids of the server and its children."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True,
                                  check=False).stdout.split()
        return [self.process.pid, *map(int, children)]


class Standby(ChaosPostgres):
    """A second server that streams from the first; once it has caught up, the first waits for it at every commit, unless it is
    asynchronous."""

    def __init__(self, primary, synchronous=True):  # pylint: disable=super-init-not-called  # its data come from the primary
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gptvq-e2e-postgres-"))
        as_owner = []
        if os.geteuid() == 0:
            as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(self.directory, "postgres")
        backup = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup"))[-1]
        subprocess.run([*as_owner, str(backup), "--host", str(primary.directory), "--username", "postgres", "--pgdata",
                        str(self.directory / "data"), "--write-recovery-conf"], check=True, capture_output=True)
        self.uri = f"postgresql://postgres@/postgres?host={self.directory}"
        self.start()
        if synchronous:
            primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.ask("SELECT pg_reload_conf()")
        state = "sync" if synchronous else "async"
        wait_until(lambda: primary.ask("SELECT sync_state FROM pg_stat_replication") == state, "the standby to stream")

    def fall_behind(self):
        """Receives nothing any more."""
        self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask("SELECT pg_reload_conf()")
        wait_until(lambda: self.ask("SELECT count(*) FROM pg_stat_wal_receiver") == "0", "the stream to end")

    def promote(self):
        assert self.ask("SELECT pg_promote()") == "t"


class ReplicatedCluster(ChaosCluster):
    """Coordinators on one journal; clients and workers know the addresses of all of them."""

    def __init__(self, lab, directory, server, names=("first", "second"), **options):
        super().__init__(lab, directory, **{"store": str(directory / "store"), **options})
        self.journal = server.uri  # for writing; the database
        self.names = names
        self.coordinators = {}
        self.addresses = {}

    def __enter__(self):
        for name in self.names:
            self.add_coordinator(name)
            wait_until(lambda: any(self.leads(known) for known in self.coordinators), "a leader")
        return self

    def add_coordinator(self, name, listen="127.0.0.1:0"):
        address_file = self.directory / f"{name}.address"
        address_file.unlink(missing_ok=True)
        self.coordinators[name] = self._spawn(
            name, ["gptvq-coordinator", "--listen", listen, "--journal", self.journal, "--store", self.store,
                   "--address-file", str(address_file), "--lease-ttl-ms", str(int(self.lease_seconds * 1000)),
                   *self.security("coordinator"), *self.coordinator_arguments],
            self.coordinator_prefix, self.coordinator_environment)
        self.addresses[name] = wait_until(
            lambda: address_file.exists() and address_file.read_text().strip(), f"the address of {name}")
        self.address = ",".join(self.addresses.values())

    def restart(self, name):
        self.add_coordinator(name, self.addresses[name])

    def leads(self, name):
        """What the coordinator last said of itself in its log."""
        if self.coordinators[name].poll() is not None:
            return False
        lines = [line for line in self.log(name).splitlines() if "ready" in line]
        return bool(lines) and "not ready" not in lines[-1]

    def leader(self):
        return wait_until(lambda: next((name for name in self.names if self.leads(name)), None), "a leader")

    def __exit__(self, failure, *unused):
        # The one that the base class ends after the workers; the others are ended with them.
        self.coordinator = next((self.coordinators[name] for name in self.names if self.leads(name)), None) or \
            self.coordinators[self.names[0]]
        super().__exit__(failure, *unused)
