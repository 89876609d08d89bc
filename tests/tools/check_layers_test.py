"""Plants violations of the layer rules in a copy of nothing but the rules, and expects each to be found."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def check(path, source):
    """Exit code and output of the check on a tree that holds one source file."""
    with tempfile.TemporaryDirectory() as tree:
        for name, text in ((path, source), ("tools/layers.toml", read("tools/layers.toml"))):
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([sys.executable, os.path.join(ROOT, "tools/check_layers.py"), tree],
                              capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


class CheckLayers(unittest.TestCase):
    PLANTED = [
        ("core/quant/sweep.cc", '#include "platform/clock.h"'),
        ("core/quant/sweep.cc", '#include "core/cpu/cpu_backend.h"'),
        ("core/base/dtype.h", '#include "core/spec/presets.h"'),
        ("server/coordinator.cc", '#include "worker/lease_loop.h"'),
        ("server/scheduler/lease_table.cc", '#include "platform/clock.h"'),
        ("client/commands/submit.cc", '#include "server/planner.h"'),
        ("server/coordinator.cc", '#include "gptvq/v1/job.pb.h"'),
        ("server/coordinator.cc", "#include <grpcpp/grpcpp.h>"),
        ("core/quant/sweep.cc", "#include <cuda_runtime.h>"),
        ("core/quant/sweep.cc", "#include <cblas.h>"),
        ("core/format/manifest.h", "#include <nlohmann/json.hpp>"),
        ("client/options.h", "#include <CLI/CLI.hpp>"),
        ("core/format/manifest.cc", "#include <fstream>"),
        ("server/planner.cc", 'auto home = std::getenv("HOME");'),
        ("server/planner.cc", "auto now = std::chrono::system_clock::now();"),
        ("server/planner.cc", "auto now = time(nullptr);"),
        ("tests/server/planner_test.cc", "std::this_thread::sleep_for(1s);"),
        ("server/planner.cc", "#ifdef WITH_EXTRAS\n#endif"),
        ("server/planner.h", "#ifndef WRONG_GUARD_H_\n#define WRONG_GUARD_H_\n#endif"),
        ("core/base/string_utils.h", ""),
        ("core/base/common/strings.h", ""),
        ("core/attic/strings.h", ""),
    ]
    CLEAN = [
        ("core/quant/sweep.cc", '#include "core/backend/backend.h"\n#include "core/base/check.h"'),
        ("core/base/dtype.h", "#ifndef GPTVQ_CORE_BASE_DTYPE_H_\n#define GPTVQ_CORE_BASE_DTYPE_H_\n#endif"),
        ("core/backend/host_device.h", "#if defined(__CUDACC__)\n#endif"),
        ("core/cpu/sums.cc", "#include <cblas.h>\n#if HWY_ONCE\n#endif"),
        ("server/main.cc", '#include "core/cpu/cpu_backend.h"'),
        ("client/embedded_runner.cc", '#include "server/coordinator.h"\n#include "worker/lease_loop.h"'),
        ("platform/clock.cc", "auto now = std::chrono::system_clock::now();"),
        ("server/planner.cc", '// no getenv( here\nlog("sleep(1)"); /* time(nullptr)\n#if 0 */'),
        ("tests/server/planner_test.cc", '#include "server/planner.h"\n#include "gptvq/v1/job.pb.h"'),
    ]

    def test_finds_every_planted_violation(self):
        for path, source in self.PLANTED:
            with self.subTest(path=path, source=source):
                code, output = check(path, source + "\n")

                self.assertEqual(code, 1, output)
                self.assertIn(f"{path}:1: ", output)
                self.assertEqual(len(output.splitlines()), 1, output)

    def test_accepts_what_the_rules_allow(self):
        for path, source in self.CLEAN:
            with self.subTest(path=path, source=source):
                code, output = check(path, source + "\n")

                self.assertEqual((code, output), (0, "layers: no violation\n"))

    def test_names_the_line_of_a_violation_after_a_comment_of_many_lines(self):
        code, output = check("server/planner.cc", "/* a\n   b\n   c */\nauto home = getenv(name);\n")

        self.assertEqual(code, 1)
        self.assertIn("server/planner.cc:4: ", output)


if __name__ == "__main__":
    unittest.main()
