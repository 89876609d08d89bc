// QuantOps::RefineColumns: one block of 128 columns of a state where about a tenth of the vectors still move. Operations: the
// choice as in the sweep, plus 2 d per column of the block for each vector that moves.
#include <cmath>

#include "bench/vector_case.h"

namespace gptvq {
namespace {

constexpr std::int64_t kBlock = 128;

void MeasureRefine(Bench& bench, VectorCase& c) {
  Backend& backend = bench.backend();
  const std::int64_t rows = c.layout.rows(), positions = kBlock / c.spec.vector_dim;
  std::vector<float> h_host = BenchNormals(kBlock * kBlock, 5, 0.02);
  for (std::int64_t i = 0; i < kBlock; ++i) {
    for (std::int64_t j = 0; j < i; ++j) h_host[i * kBlock + j] = h_host[j * kBlock + i];
    h_host[i * (kBlock + 1)] = 1;
  }
  const auto h = DeviceMatrix<float>::FromHost(backend, h_host.data(), kBlock, kBlock).value();
  DeviceMatrix<float> gradient = BenchMatrix(backend, rows, kBlock, 6, 0.5);
  DeviceMatrix<float> change = DeviceMatrix<float>::Zeros(backend, rows, kBlock).value();
  RefineBlock block;
  block.gradient = gradient.view();
  block.hessian = h.view();
  block.change_out = change.view();
  const auto refine = [&] {
    return backend.quant().RefineColumns(c.code(), c.codebooks.view(), block, c.assignments.view()).value();
  };
  for (int pass = 0; pass < 3; ++pass) (void)refine();  // towards a fixed point
  const DeviceMatrix<float> settled =
      DeviceMatrix<float>::FromHost(backend, gradient.ToHost(backend).value().data(), rows, kBlock).value();
  const auto settled_assignments = c.assignments.ToHost(backend).value();
  const DeviceMatrix<float> nudge = BenchMatrix(backend, rows, kBlock, 7, 0.03);
  std::int64_t moved = 0;
  const auto pass = [&] {
    (void)backend.CopyInside(settled.view(), gradient.view());
    (void)backend.quant().Axpby(1, nudge.view(), 1, gradient.view());
    (void)backend.CopyBytesFromHost(settled_assignments.data(), c.assignments.view().data, settled_assignments.size());
    moved = refine();
  };
  pass();
  std::int64_t moved_blocks = 0;
  const auto change_host = change.ToHost(backend).value();
  for (std::int64_t i = 0; i < rows * positions; ++i) {
    bool any = false;
    for (int j = 0; j < c.spec.vector_dim; ++j) any = any || change_host[i * c.spec.vector_dim + j] != 0;
    moved_blocks += any;
  }
  CheckResult(moved == moved_blocks, "number of vectors that moved");
  const double vectors = static_cast<double>(rows * positions), k = c.spec.centroid_count(), d = c.spec.vector_dim;
  std::string label = "RefineColumns " + c.label + " moving " + std::to_string(100 * moved / (rows * positions)) + "%";
  bench.Measure(label,
                {vectors * k * (2 * d + 2) + static_cast<double>(moved) * 2 * d * kBlock,
                 16.0 * static_cast<double>(rows * kBlock)},
                Roof::kFma, pass);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("refine", argc, argv);
  for (gptvq::VectorCase& c : gptvq::VectorCases(bench.backend())) gptvq::MeasureRefine(bench, c);
}
