#!/usr/bin/env python3
"""Writes the dashboards as JSON into deploy/grafana/dashboards, or with --check says which are not fresh.

Needs grafana-foundation-sdk: `tools/python_env.sh build/ops-venv tools/ops_requirements.txt` makes an environment that has it,
then `build/ops-venv/bin/python deploy/grafana/generate.py`.
"""

import argparse
import json
import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import fleet_health
import quantization_progress

DASHBOARDS = pathlib.Path(__file__).resolve().parent / "dashboards"
SOURCES = {"quantization-progress.json": quantization_progress, "fleet-health.json": fleet_health}


def render(source):
    """The JSON text of a dashboard."""
    board = source.build()
    for number, panel in enumerate(board.panels, start=1):
        panel.id_val = number  # links to a panel name it
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is not fresh")
    arguments = parser.parse_args()
    stale = []
    for name, source in SOURCES.items():
        text = render(source)
        path = DASHBOARDS / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    if arguments.check and stale:
        print(f"not fresh: {', '.join(stale)}; run deploy/grafana/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
