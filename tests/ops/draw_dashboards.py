#!/usr/bin/env python3
"""Draws both dashboards from a live service for the documents: three workers, three jobs, half of their shards
audited, one worker killed on the way.

usage: draw_dashboards.py DIRECTORY        with GPTVQ_BIN and GPTVQ_MAKE_TINY_MODEL as the e2e tests have them
"""

import pathlib
import sys
import tempfile
import time

from scraped_service import ROOT, SCRAPE_SECONDS, ScrapedService

import dashboard_data
import render_dashboard
from service_harness import Model, kill, wait_until

LAYERS, HIDDEN = 24, 320
MODEL_NAME = f"Tiny-Llama-{LAYERS}L"


def submit(service, model, root, name, **flags):
    directory = model.directory / MODEL_NAME
    return service.cluster.client("submit", *model.job_flags(root / name, model=directory, **flags)).strip()


def run_jobs(service, model, root):
    """Leaves two jobs at work, one of them far."""
    cluster = service.cluster
    first = submit(service, model, root, "first", propagation="parallel", shard_layers=4, preset="2d-2.125bpv")
    second = submit(service, model, root, "second", propagation="parallel", shard_layers=8)
    wait_until(lambda: cluster.job(first)["published_layers"] >= LAYERS // 3, "a third of the first job")
    kill(service.workers["c"])
    service.workers["c"] = cluster.start_worker("c", flags=["--metrics-listen", service.metrics_urls["c"].split("/")[2]])
    cluster.client("get", "job-0123456789abcdef", check=3)  # somebody mistyped an id
    cluster.client("wait", first)
    submit(service, model, root, "third", propagation="sequential", seed=8)
    wait_until(lambda: cluster.job(second)["published_layers"] >= LAYERS * 3 // 4, "most of the second job")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    model = Model(layers=LAYERS, hidden=HIDDEN)
    (model.directory / "model").rename(model.directory / MODEL_NAME)
    with tempfile.TemporaryDirectory(prefix="gptvq-pictures-") as scratch:
        root = pathlib.Path(scratch)
        with ScrapedService(root / "service", ["a", "b", "c"], coordinator_flags=["--audit-fraction", "0.5"]) as service:
            start = time.time()
            run_jobs(service, model, root)
            end = time.time()
            for name in ("quantization-progress", "fleet-health"):
                dashboard = dashboard_data.load(ROOT / "deploy" / "grafana" / "dashboards" / f"{name}.json")
                drawing = render_dashboard.Drawing(dashboard, service.prometheus, start, end, "10s", SCRAPE_SECONDS)
                drawing.render().save(directory / f"{name}.png", optimize=True)
    model.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
