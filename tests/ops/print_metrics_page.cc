// Prints docs/metrics.md: build/release/tests/ops/print_metrics_page > docs/metrics.md

#include <iostream>

#include "tests/ops/metrics_page.h"

int main() { std::cout << gptvq::MetricsPage(); }
