#!/usr/bin/env python3
"""Keeps the protocol compatible: compares proto/gptvq/v1 with proto/baseline.txt.

usage: check_proto_compat.py [--update] [--protoc PATH] [REPOSITORY_ROOT]

The baseline has one line per field, enum value and method, with everything that peers depend on. Additions must be recorded
with --update; what the baseline holds must stay as it is. Exit code 1 and one line per difference otherwise.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

DESCRIPTOR_PROTO = "/usr/include/google/protobuf/descriptor.proto"
TOKEN = re.compile(r'\s*(?:([A-Za-z_][\w]*)\s*(?::\s*("(?:\\.|[^"\\])*"|[^\s{}]+)|(\{))|(\}))')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="record additions in the baseline")
    parser.add_argument("--protoc", default="protoc")
    parser.add_argument("root", nargs="?", default=".")
    options = parser.parse_args()

    baseline_path = os.path.join(options.root, "proto", "baseline.txt")
    current = protocol_lines(options.root, options.protoc)
    baseline = read_lines(baseline_path)
    removed = sorted(set(baseline) - set(current))
    added = sorted(set(current) - set(baseline))
    for line in removed:
        print(f"proto/baseline.txt: gone or changed: {line}")
    if removed:
        print("Peers of an older version depend on these. Keep them; reserve numbers and names that must go.")
        return 1
    if added and options.update:
        with open(baseline_path, "w", encoding="utf-8") as file:
            file.write("\n".join(current) + "\n")
        print(f"proto/baseline.txt: {len(added)} lines added")
        return 0
    for line in added:
        print(f"proto/baseline.txt: not recorded: {line}")
    if added:
        print("Record additions with tools/check_proto_compat.py --update.")
        return 1
    print("protocol: compatible with its baseline")
    return 0


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def protocol_lines(root, protoc):
    """Everything that peers depend on, one line each, sorted."""
    proto_root = os.path.join(root, "proto")
    files = sorted(name for name in os.listdir(os.path.join(proto_root, "gptvq", "v1")) if name.endswith(".proto"))
    with tempfile.NamedTemporaryFile() as descriptor:
        subprocess.run([protoc, f"--proto_path={proto_root}", f"--descriptor_set_out={descriptor.name}"] +
                       [f"gptvq/v1/{name}" for name in files], check=True)
        with open(descriptor.name, "rb") as encoded:
            text = subprocess.run(
                [protoc, f"--proto_path={os.path.dirname(DESCRIPTOR_PROTO)}",
                 "--decode=google.protobuf.FileDescriptorSet", os.path.basename(DESCRIPTOR_PROTO)],
                stdin=encoded, check=True, capture_output=True, text=True).stdout
    lines = []
    for file in parse_text_format(text).get("file", []):
        package = unquote(file["package"][0])
        for message in file.get("message_type", []):
            lines += message_lines(message, package)
        for enum in file.get("enum_type", []):
            lines += enum_lines(enum, package)
        for service in file.get("service", []):
            lines += service_lines(service, package)
    return sorted(lines)


def message_lines(message, scope):
    name = f"{scope}.{unquote(message['name'][0])}"
    lines = []
    for field in message.get("field", []):
        kind = unquote(field["type_name"][0]) if "type_name" in field else field["type"][0]
        presence = " optional" if "proto3_optional" in field else ""
        lines.append(f"field {name} {int(field['number'][0]):3d} {unquote(field['name'][0])} "
                     f"{field['label'][0]} {kind}{presence}")
    for nested in message.get("nested_type", []):
        lines += message_lines(nested, name)
    for enum in message.get("enum_type", []):
        lines += enum_lines(enum, name)
    return lines


def enum_lines(enum, scope):
    name = f"{scope}.{unquote(enum['name'][0])}"
    return [f"value {name} {int(value['number'][0]):3d} {unquote(value['name'][0])}" for value in enum["value"]]


def service_lines(service, scope):
    lines = []
    for method in service.get("method", []):
        streams = "".join(f" {key}" for key in ("client_streaming", "server_streaming") if key in method)
        lines.append(f"method {scope}.{unquote(service['name'][0])}.{unquote(method['name'][0])} "
                     f"{unquote(method['input_type'][0])} -> {unquote(method['output_type'][0])}{streams}")
    return lines


def parse_text_format(text):
    """A message in protobuf's text format as {field: [values]}; strings stay quoted, messages become such dictionaries."""
    stack = [{}]
    for name, value, opening, closing in TOKEN.findall(text):
        if closing:
            stack.pop()
        elif opening:
            child = {}
            stack[-1].setdefault(name, []).append(child)
            stack.append(child)
        else:
            stack[-1].setdefault(name, []).append(value)
    return stack[0]


def unquote(value):
    return value.strip('"')


if __name__ == "__main__":
    sys.exit(main())
