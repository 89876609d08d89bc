#!/bin/bash
# Succeeds if this machine's /metrics holds the given metric: a health check without curl.
#
# usage: scrape_metrics.sh METRIC
set -euo pipefail
exec 3<> "/dev/tcp/127.0.0.1/${GPTVQ_METRICS_LISTEN##*:}"
printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
grep -q "^$1" <&3
