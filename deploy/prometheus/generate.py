#!/usr/bin/env python3
"""Writes the rules as objects of the Prometheus operator into deploy/kubernetes, or with --check says that they are not fresh.

One PrometheusRule per file of deploy/prometheus/rules: the names of groups are unique in a file only.
"""

import argparse
import pathlib
import sys

PROMETHEUS = pathlib.Path(__file__).resolve().parent
MANIFEST = PROMETHEUS.parent / "kubernetes" / "components" / "monitoring" / "prometheus-rules.yaml"
HEAD = """\
# Made from deploy/prometheus/rules by deploy/prometheus/generate.py. Change the rules there.
# yamllint disable rule:line-length
"""
OBJECT = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: gptvq-{name}
spec:
"""


def render():
    """The manifest: the text of each file as it stands, below `spec`."""
    objects = []
    for path in sorted((PROMETHEUS / "rules").glob("*.yml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        objects.append(OBJECT.format(name=path.stem) + "".join(f"  {line}".rstrip() + "\n" for line in lines))
    return HEAD + "---\n".join(objects)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when the file is not fresh")
    arguments = parser.parse_args()
    text = render()
    if MANIFEST.exists() and MANIFEST.read_text(encoding="utf-8") == text:
        return 0
    if arguments.check:
        print(f"{MANIFEST.name} is not fresh; run deploy/prometheus/generate.py", file=sys.stderr)
        return 1
    MANIFEST.write_text(text, encoding="utf-8")
    print(f"wrote {MANIFEST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
