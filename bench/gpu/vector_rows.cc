// Clustering, sweep, refinement, decoding and centroid sums of the linears of a layer, per preset.
#include <algorithm>

#include "bench/gpu/gpu_table.h"
#include "core/base/philox.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

constexpr std::int64_t kBlock = 128;

// What core/quant/vector_recipe.cc does to a linear; the settling passes at their most.
constexpr int kSweepsPerBlock = 3, kPassesPerUpdate = 4, kShortUpdateSteps = 2, kSettlingPasses = 4;

double BlockSweepsOf(const QuantSpec& spec) {
  return spec.refinement_passes == 0 ? 0 : kSweepsPerBlock * spec.refinement_passes + kSettlingPasses;
}

// Steps of all updates, each with a product, and the gradients that are formed anew beside them.
struct UpdateCounts {
  double steps = 0;
  double products = 0;
};

UpdateCounts UpdateCountsOf(const QuantSpec& spec) {
  const double short_updates =
      spec.refinement_passes == 0 ? 0 : spec.refinement_passes / kPassesPerUpdate + kSettlingPasses;
  const double steps = spec.update_iterations + short_updates * std::min(kShortUpdateSteps, spec.update_iterations);
  return {steps, steps + 1 + short_updates + 3};  // three: of the loss of zero, behind the sweep, in the end
}

// A linear: its layout, random codebooks and assignments in backend memory.
struct VectorCase {
  VectorCase(Backend& backend, std::int64_t rows, std::int64_t cols, const QuantSpec& vector_spec)
      : label(std::to_string(rows) + "x" + std::to_string(cols)),
        spec(vector_spec),
        layout(GroupLayout::Make(rows, cols, spec).value()),
        codebooks(GpuNormals(backend, layout.group_count(), spec.centroid_count() * spec.vector_dim, 40)) {
    const Philox random(1, 41);
    std::vector<std::uint8_t> indices(static_cast<std::size_t>(rows * (cols / spec.vector_dim)));
    for (std::size_t i = 0; i < indices.size(); ++i) {
      indices[i] =
          static_cast<std::uint8_t>(random.Draw(i % 1000003)[0] % static_cast<std::uint32_t>(spec.centroid_count()));
    }
    assignments = DeviceMatrix<std::uint8_t>::FromHost(backend, indices.data(), rows, cols / spec.vector_dim).value();
  }

  VectorCode code() const {
    VectorCode code;
    code.layout = &layout;
    code.vector_dim = spec.vector_dim;
    code.index_bits = spec.index_bits;
    return code;
  }

  std::string label;
  QuantSpec spec;
  GroupLayout layout;
  DeviceMatrix<float> codebooks;
  DeviceMatrix<std::uint8_t> assignments;
};

// Operations of one iteration: per vector and centroid 2 d fused multiply-adds, a comparison and a selection.
void AddCluster(GpuTable& table, VectorCase& c, double linears) {
  Backend& backend = table.backend();
  constexpr int kIterations = 10;
  const Stripe& stripe = c.layout.stripes().front();
  const DeviceMatrix<float> x = GpuNormals(backend, c.layout.rows(), stripe.column_count, 42);
  const std::vector<float> weights(static_cast<std::size_t>(stripe.column_count), 1.0f);
  const double vectors = static_cast<double>(c.layout.rows() * stripe.column_count / c.spec.vector_dim);
  const double stripes = static_cast<double>(c.layout.stripes().size());
  // EM stops early after some 50 iterations: five times as many as are timed here.
  table.Row("ClusterStripe " + c.label + ", 10 iterations",
            {kIterations * vectors * c.spec.centroid_count() * (4.0 * c.spec.vector_dim + 2),
             8.0 * vectors * c.spec.vector_dim * kIterations},
            GpuRoof::kFloat, 5 * stripes * linears, [&] {
              return backend.quant()
                  .ClusterStripe(c.code(), stripe, x.view(), weights, {.max_iterations = kIterations},
                                 c.codebooks.view())
                  .status();
            });
}

// A factor near the identity.
DeviceMatrix<float> MakeFactor(Backend& backend) {
  DeviceMatrix<float> factor = GpuNormals(backend, kBlock, kBlock, 43, 0.02);
  const float one = 1;
  for (std::int64_t i = 0; i < kBlock; ++i) {
    Check(backend.CopyBytesFromHost(&one, factor.view().row(i) + i, sizeof(one)), "factor");
  }
  return factor;
}

void AddPasses(GpuTable& table, VectorCase& c, double linears) {
  Backend& backend = table.backend();
  const std::int64_t rows = c.layout.rows();
  const DeviceMatrix<float> factor = MakeFactor(backend);
  const DeviceMatrix<float> weights = GpuNormals(backend, rows, kBlock, 44);
  DeviceMatrix<float> target = DeviceMatrix<float>::Allocate(backend, rows, kBlock).value();
  DeviceMatrix<float> error = DeviceMatrix<float>::Zeros(backend, rows, kBlock).value();
  const double r = static_cast<double>(rows), d = c.spec.vector_dim, k = c.spec.centroid_count();
  const double blocks = linears * static_cast<double>(c.layout.cols() / kBlock);
  SweepBlock sweep;
  sweep.weights = weights.view();
  sweep.target = target.view();
  sweep.feedback = factor.view();
  sweep.metric_factor = factor.view();
  sweep.error_out = error.view();
  table.Row("SweepColumns " + c.label + " (with a copy)",
            {r * kBlock / d * (k * (2 * d + 2) + d * kBlock), 24 * r * kBlock}, GpuRoof::kFloat, blocks, [&] {
              Check(backend.CopyInside(weights.view(), target.view()), "copy");
              return backend.quant().SweepColumns(c.code(), c.codebooks.view(), sweep, c.assignments.view()).status();
            });
  CheckFinite(backend, error.view(), "sweep");
  RefineBlock refine;
  refine.gradient = target.view();
  refine.hessian = factor.view();
  refine.change_out = error.view();
  table.Row("RefineColumns " + c.label + " (with a copy)",
            {r * kBlock / d * (k * (2 * d + 2) + 2 * d * kBlock), 20 * r * kBlock}, GpuRoof::kFloat,
            blocks * BlockSweepsOf(c.spec), [&] {
              Check(backend.CopyInside(weights.view(), target.view()), "copy");
              return backend.quant().RefineColumns(c.code(), c.codebooks.view(), refine, c.assignments.view()).status();
            });
}

// The products of a pass go by halves (core/quant/by_halves.h): two of half the columns and so on, so all together come to
// four of the largest; the sweep makes half of them.
void AddHalves(GpuTable& table, VectorCase& c, double linears) {
  Backend& backend = table.backend();
  const std::int64_t rows = c.layout.rows(), half = c.layout.cols() / 2;
  const DeviceMatrix<float> change = GpuNormals(backend, rows, half, 47);
  const DeviceMatrix<float> hessian = GpuNormals(backend, half, half, 45);
  DeviceMatrix<float> gradient = GpuNormals(backend, rows, half, 46);
  const double r = static_cast<double>(rows), n = static_cast<double>(half);
  const int passes = c.spec.refinement_passes;
  table.Row("MatMul of a pass, by halves " + c.label, {2 * r * n * n, 4 * (3 * r * n + n * n)}, GpuRoof::kFloat,
            linears * (2 + 4 * (passes == 0 ? 0 : passes + kSettlingPasses)), [&] {
              return backend.quant().MatMul(1e-9f, change.view(), Transpose::kNo, hessian.view(), Transpose::kNo, 1,
                                            gradient.view());
            });
}

void AddCodes(GpuTable& table, VectorCase& c, double linears) {
  Backend& backend = table.backend();
  DeviceMatrix<float> q = DeviceMatrix<float>::Allocate(backend, c.layout.rows(), c.layout.cols()).value();
  DeviceMatrix<float> sums = DeviceMatrix<float>::Allocate(backend, c.codebooks.rows(), c.codebooks.cols()).value();
  const double weights = static_cast<double>(c.layout.rows() * c.layout.cols());
  const double bytes = weights * (4 + 1.0 / c.spec.vector_dim);
  const UpdateCounts updates = UpdateCountsOf(c.spec);
  const double steps = linears * updates.steps;
  table.Row("DecodeVectors " + c.label, {weights, bytes}, GpuRoof::kCopy, steps, [&] {
    return backend.quant().DecodeVectors(c.code(), c.codebooks.view(), c.assignments.view(), q.view());
  });
  CheckFinite(backend, q.view(), "decode");
  // The gradient of a conjugate-gradient step is a product of the error with the Hessian.
  const DeviceMatrix<float> hessian = GpuNormals(backend, c.layout.cols(), c.layout.cols(), 47);
  DeviceMatrix<float> gradient = DeviceMatrix<float>::Allocate(backend, c.layout.rows(), c.layout.cols()).value();
  const double r = static_cast<double>(c.layout.rows()), n = static_cast<double>(c.layout.cols());
  table.Row("MatMul of the codebook update " + c.label, {2 * r * n * n, 4 * (2 * r * n + n * n)}, GpuRoof::kFloat,
            linears * updates.products, [&] {
              return backend.quant().MatMul(1, q.view(), Transpose::kNo, hessian.view(), Transpose::kNo, 0,
                                            gradient.view());
            });
  table.Row("AccumulateCentroidSums " + c.label, {weights, bytes}, GpuRoof::kCopy, steps, [&] {
    return backend.quant().AccumulateCentroidSums(c.code(), c.assignments.view(), q.view(), sums.view());
  });
}

// When a linear is done: there, and back to be decoded.
void AddPacking(GpuTable& table, VectorCase& c, double linears) {
  Backend& backend = table.backend();
  const std::int64_t row_bytes = PackedIndexRowBytes(c.layout, c.spec.vector_dim, c.spec.index_bits);
  DeviceMatrix<std::uint8_t> packed = DeviceMatrix<std::uint8_t>::Allocate(backend, c.layout.rows(), row_bytes).value();
  const double vectors = static_cast<double>(c.assignments.bytes());
  const double bytes = vectors + static_cast<double>(packed.bytes());
  table.Row("PackAssignments " + c.label, {vectors, bytes}, GpuRoof::kCopy, linears,
            [&] { return backend.quant().PackAssignments(c.code(), c.assignments.view(), packed.view()); });
  table.Row("UnpackAssignments " + c.label, {vectors, bytes}, GpuRoof::kCopy, linears,
            [&] { return backend.quant().UnpackAssignments(c.code(), packed.view(), c.assignments.view()); });
}

}  // namespace

void AddVectorRows(GpuTable& table, const QuantSpec& spec) {
  for (const LinearOfShape& linear : LinearsOf(table.shape())) {
    VectorCase c(table.backend(), linear.rows, linear.cols, spec);
    AddCluster(table, c, linear.count);
    AddPasses(table, c, linear.count);
    AddHalves(table, c, linear.count);
    AddCodes(table, c, linear.count);
    AddPacking(table, c, linear.count);
  }
}

}  // namespace gptvq
