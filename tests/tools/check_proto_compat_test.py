#!/usr/bin/env python3
"""tools/check_proto_compat.py: what it takes and what it refuses. usage: check_proto_compat_test.py PROTOC"""

import os
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(REPOSITORY, "tools", "check_proto_compat.py")
PROTOC = "protoc"

PROTO = """syntax = "proto3";
package gptvq.v1;
message Thing {
  string name = 1;
  optional int32 size = 2;
  enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }
  Color color = 3;
}
service Things { rpc Get(Thing) returns (stream Thing); }
"""


class CheckProtoCompatTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        os.makedirs(os.path.join(self.directory.name, "proto", "gptvq", "v1"))
        self.write(PROTO)
        self.assertEqual(self.check("--update").returncode, 0)

    def write(self, text):
        with open(os.path.join(self.directory.name, "proto", "gptvq", "v1", "thing.proto"), "w", encoding="utf-8") as f:
            f.write(text)

    def check(self, *arguments):
        return subprocess.run([sys.executable, TOOL, "--protoc", PROTOC, *arguments, self.directory.name],
                              capture_output=True, text=True)

    def assert_refused(self, text, expected):
        self.write(text)
        for arguments in ((), ("--update",)):
            result = self.check(*arguments)
            self.assertEqual(result.returncode, 1)
            self.assertIn(expected, result.stdout)

    def test_what_is_recorded_is_accepted(self):
        self.assertEqual(self.check().returncode, 0)

    def test_comments_and_order_do_not_matter(self):
        self.write(PROTO.replace("  string name = 1;\n", "").replace("  Color color = 3;", "  Color color = 3;\n  string name = 1;  // last"))
        self.assertEqual(self.check().returncode, 0)

    def test_an_addition_must_be_recorded(self):
        self.write(PROTO.replace("Color color = 3;", "Color color = 3; bytes data = 4;"))
        self.assertEqual(self.check().returncode, 1)
        self.assertEqual(self.check("--update").returncode, 0)
        self.assertEqual(self.check().returncode, 0)

    def test_a_removed_field_is_refused(self):
        self.assert_refused(PROTO.replace("  string name = 1;\n", ""), "name")

    def test_another_number_type_or_presence_is_refused(self):
        self.assert_refused(PROTO.replace("name = 1", "name = 9"), "name")
        self.assert_refused(PROTO.replace("string name", "bytes name"), "name")
        self.assert_refused(PROTO.replace("optional int32", "int32"), "size")
        self.assert_refused(PROTO.replace("string name", "repeated string name"), "name")

    def test_a_removed_enum_value_or_another_stream_is_refused(self):
        self.assert_refused(PROTO.replace(" COLOR_RED = 1;", ""), "COLOR_RED")
        self.assert_refused(PROTO.replace("(stream Thing)", "(Thing)"), "Things.Get")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        PROTOC = sys.argv.pop(1)
    unittest.main()
