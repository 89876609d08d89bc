#!/usr/bin/env python3
"""The real gptvq-coordinator as an operator meets it. usage: coordinator_process_test.py GPTVQ_COORDINATOR"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

COORDINATOR = ""
DEADLINE_S = 60  # for anything that should take a moment, on a busy machine


class CoordinatorProcessTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.data = os.path.join(self.directory, "data")

    def start(self, *arguments, environment=None):
        """A coordinator that serves, its address and what it printed so far."""
        address_file = os.path.join(self.directory, "address")
        if os.path.exists(address_file):
            os.remove(address_file)
        process = subprocess.Popen(
            [COORDINATOR, "--data-dir", self.data, "--listen", "127.0.0.1:0", "--address-file", address_file, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(self.end, process)
        printed = []
        while not printed or not printed[-1].startswith("listening on "):
            line = process.stdout.readline()
            self.assertNotEqual(line, "", "the coordinator ended: " + ("" if line else process.stderr.read()))
            printed.append(line.strip())
        self.wait_for(lambda: os.path.exists(address_file))
        with open(address_file, encoding="utf-8") as file:
            address = file.read().strip()
        self.assertEqual(printed[-1], f"listening on {address}")
        return process, address, printed

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def wait_for(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), end, "waited too long")
            time.sleep(0.01)

    @staticmethod
    def run_to_end(*arguments):
        return subprocess.run([COORDINATOR, *arguments], capture_output=True, text=True, timeout=DEADLINE_S)

    def test_sigterm_ends_it_with_exit_code_0_and_it_starts_again(self):
        for _ in range(2):
            process, address, _ = self.start()
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=DEADLINE_S).close()
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(DEADLINE_S), 0)

    def test_it_starts_again_after_it_was_killed(self):
        process, _, _ = self.start()
        process.kill()
        process.wait()
        self.start()

    def test_a_second_one_on_the_same_directory_ends_with_exit_code_6(self):
        self.start()
        second = self.run_to_end("--data-dir", self.data)
        self.assertEqual(second.returncode, 6)
        self.assertIn("in use by another coordinator", second.stderr)

    def test_a_port_in_use_ends_it_with_exit_code_4_naming_the_port(self):
        _, address, _ = self.start()
        second = self.run_to_end("--data-dir", os.path.join(self.directory, "other"), "--listen", address)
        self.assertEqual(second.returncode, 4)
        self.assertIn(address, second.stderr)

    def test_usage_errors_end_it_with_exit_code_2_naming_the_flag(self):
        for arguments, expected in ((["--bogus"], "--bogus"), ([], "--data-dir"),
                                    (["--data-dir", self.data, "--lease-ttl-ms", "5"], "--lease-ttl-ms"),
                                    (["--data-dir", self.data, "--listen", "nowhere"], "--listen"),
                                    (["--data-dir", self.data, "--store", "gopher://x"], "gopher://x"),
                                    (["--data-dir", self.data, "--log-level", "loud"], "--log-level")):
            result = self.run_to_end(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn(expected, result.stderr)

    def test_help_and_version(self):
        self.assertRegex(self.run_to_end("--version").stdout, r"\d+\.\d+\.\d+")
        self.assertIn("--lease-ttl-ms", self.run_to_end("--help").stdout)

    def test_metrics_are_served_and_memory_is_bounded(self):
        _, _, printed = self.start("--metrics-listen", "127.0.0.1:0")
        port = re.fullmatch(r"metrics on 127\.0\.0\.1:(\d+)", printed[0])[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S) as answer:
            text = answer.read().decode()
        self.assertIn("gptvq_coordinator_build_info", text)
        resident = float(re.search(r"^gptvq_coordinator_resident_memory_bytes ([\d.e+]+)$", text, re.MULTILINE)[1])
        self.assertLess(resident, 200 << 20)

    def test_flags_may_come_from_the_environment(self):
        bad = subprocess.run([COORDINATOR, "--data-dir", self.data], capture_output=True, text=True, timeout=DEADLINE_S,
                             env={**os.environ, "GPTVQ_LEASE_TTL_MS": "never"})
        self.assertEqual(bad.returncode, 2)
        self.assertIn("GPTVQ_LEASE_TTL_MS", bad.stderr)


if __name__ == "__main__":
    COORDINATOR = sys.argv.pop(1)
    unittest.main()
