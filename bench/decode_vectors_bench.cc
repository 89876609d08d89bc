// QuantOps::DecodeVectors: reads one byte per vector, writes four per weight. The matrices of SmolLM2 stay in the caches between the
// steps of the codebook update, where this runs.
#include "bench/vector_case.h"

namespace gptvq {
namespace {

void MeasureDecode(Bench& bench, const VectorCase& c) {
  Backend& backend = bench.backend();
  DeviceMatrix<float> q = DeviceMatrix<float>::Zeros(backend, c.layout.rows(), c.layout.cols()).value();
  const auto decode = [&] {
    (void)backend.quant().DecodeVectors(c.code(), c.codebooks.view(), c.assignments.view(), q.view());
  };
  decode();
  const auto q_host = q.ToHost(backend).value(), codebook = c.codebooks.ToHost(backend).value();
  const auto indices = c.assignments.ToHost(backend).value();
  for (int j = 0; j < c.spec.vector_dim && c.spec.block_scale_columns == 0; ++j) {
    CheckResult(q_host[j] == codebook[indices[0] * c.spec.vector_dim + j], "first vector");
  }
  bench.Measure("DecodeVectors " + c.label,
                {0, 4.0 * static_cast<double>(c.weights()) + static_cast<double>(c.vectors())}, Roof::kTriad, decode);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("decode_vectors", argc, argv);
  for (const gptvq::VectorCase& c : gptvq::VectorCases(bench.backend())) gptvq::MeasureDecode(bench, c);
  gptvq::MeasureDecode(bench, {bench.backend(), 576, 1536, "2d-3.125bpv-s64"});
  gptvq::MeasureDecode(bench, {bench.backend(), 4096, 4096, "2d-3.125bpv"});
}
