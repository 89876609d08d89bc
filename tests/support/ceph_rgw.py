"""A real S3 server for tests: Ceph's object gateway over a monitor and a memory store, on loopback, from Debian's packages.

As a program: ceph_rgw.py COMMAND [ARGUMENT...] runs a command beside a server and ends with its exit status. The command finds
  GPTVQ_TEST_S3_PROFILES   a file for --storage-profiles, with the profiles of Rgw.profiles()
  GPTVQ_TEST_S3_BUCKET     an empty bucket; <it>-tls and <it>-host are served by the profiles `tls` and `host`
and credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Needs `tools/install_packages.sh s3`, about 450 MB and half
a minute. Whatever happens, nothing keeps running: every server dies with this process."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid

DEADLINE_SECONDS = 180
PROGRAMS = ("ceph", "ceph-authtool", "ceph-mgr", "ceph-mon", "ceph-osd", "curl", "monmaptool", "openssl", "radosgw",
            "radosgw-admin", "setpriv")
CONFIG = """[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {root}/keyring
run_dir = {root}/run
admin_socket = {root}/run/$name.$pid.asok
log_file = {root}/log/$name.log
crash_dir = {root}/log
mon_data = {root}/mon
mgr_data = {root}/mgr
osd_data = {root}/osd
rgw_data = {root}/rgw
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_max_object_name_len = 256
osd_max_object_namespace_len = 64
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
mon_max_pg_per_osd = 1000
mon_pg_warn_min_per_osd = 0
rgw_dns_name = localhost
rgw_enable_usage_log = false
rgw_run_sync_thread = false
rgw_frontends = beast tcp_nodelay=1 endpoint=127.0.0.1:{http} ssl_endpoint=127.0.0.1:{https} ssl_certificate={root}/server.pem ssl_private_key={root}/server.key
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


class Rgw:
    """The running server, as a context manager."""

    bucket = "gptvq-test"
    access_key = "GPTVQTESTKEY"
    secret_key = "gptvq-test-secret-CANARY"

    def __init__(self):
        missing = [program for program in PROGRAMS if not shutil.which(program)]
        if missing:
            raise SystemExit(f"{', '.join(missing)} not found: run tools/install_packages.sh s3")
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="gptvq-rgw-"))
        self.processes = []
        self.config = self.root / "ceph.conf"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *unused):
        self.stop()

    def start(self):
        for name in ("run", "log", "mon", "mgr", "osd", "rgw"):
            (self.root / name).mkdir()
        mon_v2, mon_v1, self.http, self.https = free_ports(4)
        fsid = str(uuid.uuid4())
        self.config.write_text(CONFIG.format(fsid=fsid, root=self.root, mon_v2=mon_v2, mon_v1=mon_v1,
                                             http=self.http, https=self.https))
        self.make_certificate()
        keyring = str(self.root / "keyring")
        self.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self.run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin",
                 *(word for daemon in ("mon", "osd", "mgr") for word in ("--cap", daemon, "allow *")))
        monmap = str(self.root / "monmap")
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "x",
                 f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]", monmap)
        self.run("ceph-mon", "--mkfs", "-i", "x", "--monmap", monmap, "--keyring", keyring)
        self.daemon("ceph-mon", "-i", "x")
        osd_id = str(uuid.uuid4())
        for name in ("osd.0", "mgr.x", "client.rgw"):
            caps = [word for daemon in ("mon", "osd", "mgr") for word in (daemon, "allow *")]
            key = self.run("ceph", "auth", "get-or-create", name, *caps)
            with open(keyring, "a", encoding="ascii") as file:
                file.write(key)
        self.run("ceph", "osd", "new", osd_id)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_id)
        self.daemon("ceph-osd", "-i", "0")
        self.daemon("ceph-mgr", "-i", "x")
        self.wait_for(lambda: "1 up" in self.run("ceph", "osd", "stat"), "the object storage daemon")
        self.start_gateway()
        self.run("radosgw-admin", "-n", "client.admin", "user", "create", "--uid", "test", "--display-name", "test",
                 "--access-key", self.access_key, "--secret-key", self.secret_key)
        for suffix in ("", "-tls", "-host"):
            self.make_bucket(self.bucket + suffix)
        (self.root / "profiles.json").write_text(json.dumps(self.profiles()))

    def start_gateway(self):
        """To be called by the thread that started the server: the gateway dies with it."""
        self.gateway = self.daemon("radosgw", "-n", "client.rgw")
        self.wait_for(self.answers, "the object gateway")

    def kill_gateway(self):
        """Whatever it is doing. What was stored stays: the gateway keeps nothing."""
        self.processes.remove(self.gateway)
        self.gateway.kill()
        self.gateway.wait()

    def add_key(self, access_key, secret_key):
        """Further credentials of the same user."""
        self.run("radosgw-admin", "-n", "client.admin", "key", "create", "--uid", "test", "--key-type", "s3",
                 "--access-key", access_key, "--secret-key", secret_key)

    def open_uploads(self):
        """How many multipart uploads to the bucket `bucket` were neither completed nor aborted."""
        return self.curl(f"{self.bucket}?uploads=", b"").count("<UploadId>")

    def make_certificate(self):
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "2", "-subj", "/CN=gptvq test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-keyout", str(self.root / "server.key"), "-out", str(self.root / "server.pem"))

    def profiles(self):
        """What docs/storage.md calls a profiles file."""
        return {
            "profiles": {
                "plain": {"endpoint": f"http://127.0.0.1:{self.http}", "region": "us-east-1"},
                "tls": {"endpoint": f"https://localhost:{self.https}", "region": "us-east-1",
                        "ca_file": str(self.root / "server.pem")},
                "host": {"endpoint": f"http://localhost:{self.http}", "region": "us-east-1",
                         "addressing": "virtual-host"},
            },
            "places": {self.bucket: "plain", f"{self.bucket}-tls": "tls", f"{self.bucket}-host": "host",
                       f"{self.bucket}-missing": "plain"},
        }

    def environment(self):
        return dict(os.environ, AWS_ACCESS_KEY_ID=self.access_key, AWS_SECRET_ACCESS_KEY=self.secret_key,
                    GPTVQ_TEST_S3_PROFILES=str(self.root / "profiles.json"), GPTVQ_TEST_S3_BUCKET=self.bucket)

    def make_bucket(self, name):
        self.curl(name, b"", "--request", "PUT")

    def put(self, key, path):
        """Stores a file as an object of the bucket `bucket`."""
        self.curl(f"{self.bucket}/{key}", path.read_bytes(), "--upload-file", str(path))

    def fetch(self, prefix, directory):
        """Brings the objects of the bucket `bucket` below a prefix into a new directory; at most a thousand."""
        listed = self.curl(f"{self.bucket}?list-type=2&prefix={urllib.parse.quote(prefix, safe='')}%2F", b"")
        for key in re.findall(r"<Key>([^<]+)</Key>", listed):
            path = directory / key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.curl(f"{self.bucket}/{key}", b"", "--output", str(path))

    def curl(self, place, payload, *options):
        # curl signs by itself: what a test finds does not depend on the code under test.
        return self.run("curl", "--silent", "--show-error", "--fail", "--noproxy", "*", *options,
                        "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{self.access_key}:{self.secret_key}",
                        "--header", f"x-amz-content-sha256: {hashlib.sha256(payload).hexdigest()}",
                        f"http://127.0.0.1:{self.http}/{place}")

    def answers(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.http)) == 0

    def run(self, *command):
        """Runs a command to its end; returns its standard output."""
        result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False,
                                env=dict(os.environ, CEPH_CONF=str(self.config)))
        if result.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def daemon(self, *command):
        """Starts a server that dies with this process, even when that is killed."""
        log = open(self.root / "log" / f"{command[0]}.out", "wb")
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command, "-f"], stdout=log, stderr=log,
                                   env=dict(os.environ, CEPH_CONF=str(self.config)))
        log.close()
        self.processes.append(process)
        return process

    def wait_for(self, condition, what):
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end:
            dead = [process.args[3] for process in self.processes if process.poll() is not None]
            if dead:
                outputs = "".join(path.read_text(errors="replace")[-2000:] for path in (self.root / "log").iterdir())
                raise RuntimeError(f"{', '.join(dead)} ended\n{outputs}")
            if condition():
                return
            time.sleep(0.1)
        raise RuntimeError(f"waited {DEADLINE_SECONDS} s for {what}")

    def stop(self):
        for process in self.processes:  # it is all in memory: there is nothing to flush
            process.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


if __name__ == "__main__":
    with Rgw() as server:
        status = subprocess.run(sys.argv[1:], env=server.environment(), check=False).returncode
    sys.exit(status)
