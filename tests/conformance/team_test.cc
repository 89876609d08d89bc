// Teams of CUDA backends: what several ranks compute, and what NCCL brings from one to the other. Needs only core/.
#include <cmath>
#include <iterator>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "core/backend/device_matrix.h"
#include "core/backend/team.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/nccl_interconnect.h"
#include "core/quant/hessian.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/quantize_linear.h"
#include "core/quant/row_share.h"
#include "gtest/gtest.h"
#include "tests/conformance/team_conformance.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

constexpr std::int64_t kBatchRows = 256;
constexpr std::int64_t kBatches = 5;

// Through the host, by the backends' own copies: NCCL does not connect ranks that share a device.
class StagedInterconnect final : public Interconnect {
 public:
  explicit StagedInterconnect(std::vector<Backend*> backends) : backends_(std::move(backends)) {}

  std::string name() const override { return "staged"; }
  absl::Status Broadcast(int root, absl::Span<void* const> addresses, std::size_t bytes) override {
    std::vector<char> staging(bytes);
    GPTVQ_RETURN_IF_ERROR(backends_[root]->CopyBytesToHost(addresses[root], staging.data(), bytes));
    for (std::size_t rank = 0; rank < backends_.size(); ++rank) {
      GPTVQ_RETURN_IF_ERROR(backends_[rank]->CopyBytesFromHost(staging.data(), addresses[rank], bytes));
    }
    return absl::OkStatus();
  }

 private:
  std::vector<Backend*> backends_;
};

// A team of the first `size` ranks of the case.
class RankedBackends {
 public:
  explicit RankedBackends(int size) {
    const TeamCase test = TheTeamCase();
    for (int rank = 0; rank < size; ++rank) {
      backends_.push_back(MakeCudaBackend({.device = test.rank_devices[rank], .row_unit = test.row_unit}).value());
      borrowed_.push_back(backends_.back().get());
    }
    interconnect_ = std::make_unique<StagedInterconnect>(borrowed_);
  }

  Team team() { return Team(borrowed_, *interconnect_); }

 private:
  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<Backend*> borrowed_;
  std::unique_ptr<Interconnect> interconnect_;
};

// Batches of inputs; the last one is short and has a row that is left out.
std::vector<std::vector<float>> InputBatches(std::int64_t cols) {
  std::vector<std::vector<float>> batches;
  for (std::int64_t i = 0; i < kBatches; ++i) {
    const std::int64_t rows = i + 1 < kBatches ? kBatchRows : kBatchRows / 4;
    batches.push_back(TestRandom(100 + static_cast<std::uint64_t>(i)).Normals(rows * cols));
  }
  batches.back()[3] = std::nanf("");
  return batches;
}

// The Hessian of all batches, in the memory of every rank: batch i lies with rank i mod size.
absl::StatusOr<std::vector<Hessian>> SumHessian(const Team& team, std::int64_t cols) {
  const std::vector<std::vector<float>> batches = InputBatches(cols);
  return OnEveryRank<Hessian>(team, [&](const Communicator& ranks) -> absl::StatusOr<Hessian> {
    Backend& backend = team.backend(ranks.rank());
    GPTVQ_ASSIGN_OR_RETURN(HessianAccumulator accumulator, HessianAccumulator::Make(backend, cols, ranks));
    for (std::int64_t first = 0; first < kBatches; first += ranks.size()) {
      std::vector<std::int64_t> rows;
      for (std::int64_t i = first; i < first + ranks.size(); ++i) {
        rows.push_back(i < kBatches ? std::ssize(batches[i]) / cols : 0);
      }
      const std::int64_t own = first + ranks.rank();
      DeviceTensor x;
      ConstTensorView view(nullptr, backend.activation_dtype(), 0, cols, cols);
      if (own < kBatches) {
        const MatrixView<const float> host(batches[own].data(), rows[ranks.rank()], cols);
        GPTVQ_ASSIGN_OR_RETURN(x, DeviceTensor::FromHost(backend, host));
        view = x.view();
      }
      GPTVQ_RETURN_IF_ERROR(accumulator.AddRound(view, rows));
    }
    return std::move(accumulator).Finish();
  });
}

QuantSpec TeamSpec() {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 4;
  spec.group_weights = 512;
  spec.columns_per_group = 64;
  spec.update_iterations = 3;
  spec.refinement_passes = 2;
  return spec;
}

TEST(CudaTeam, SumsAHessianToTheBytesOfOneDevice) {
  const std::int64_t cols = TheTeamCase().cols;
  std::vector<float> expected;
  for (int size : {1, 2, 3, 4}) {
    RankedBackends ranked(size);

    const auto hessians = SumHessian(ranked.team(), cols);

    ASSERT_TRUE(hessians.ok()) << hessians.status();
    for (int rank = 0; rank < size; ++rank) {
      const std::vector<float> values = (*hessians)[rank].matrix.ToHost(ranked.team().backend(rank)).value();
      if (expected.empty()) expected = values;
      EXPECT_TRUE(values == expected) << "rank " << rank << " of " << size;
      EXPECT_EQ((*hessians)[rank].skipped_rows, 1);
    }
  }
}

TEST(CudaTeam, QuantizesALinearToTheBytesOfOneDevice) {
  const TeamCase test = TheTeamCase();
  std::vector<float> weights = TestRandom(7).Normals(test.rows * test.cols);
  for (float& weight : weights) weight *= 0.05f;
  const MatrixView<const float> view(weights.data(), test.rows, test.cols);
  const QuantSpec spec = TeamSpec();
  const GroupLayout layout = GroupLayout::Make(test.rows, test.cols, spec).value();
  ASSERT_EQ(ShareOutRows(test.rows, RowStep(layout, test.row_unit), 4).size(), 4u) << "nothing would be shared out";
  std::vector<float> expected;
  double expected_error = 0;
  for (int size : {1, 2, 4}) {
    RankedBackends ranked(size);
    const Team team = ranked.team();
    auto hessians = SumHessian(team, test.cols).value();
    const auto prepared = OnEveryRank<PreparedHessian>(team, [&](const Communicator& ranks) {
      return PreparedHessian::Make(team.backend(ranks.rank()), std::move(hessians[ranks.rank()]), spec, nullptr);
    });
    ASSERT_TRUE(prepared.ok()) << prepared.status();

    const auto result = QuantizeLinear(team, "layers.0.q_proj", view, *prepared, spec, 1, nullptr);

    ASSERT_TRUE(result.ok()) << result.status();
    if (expected.empty()) {
      expected = result->Dequantized();
      expected_error = result->report.relative_error;
    }
    EXPECT_TRUE(result->Dequantized() == expected) << size << " ranks";
    EXPECT_EQ(result->report.relative_error, expected_error);
  }
}

// Of one device, too: NCCL then talks to itself.
TEST(CudaTeam, BroadcastsFromEveryDeviceByNccl) {
  const std::vector<int> devices = TheTeamCase().devices;
  std::vector<std::unique_ptr<cuda::DeviceContext>> contexts;
  std::vector<cuda::DeviceContext*> borrowed;
  for (int device : devices) {
    contexts.push_back(cuda::DeviceContext::Make(device).value());
    borrowed.push_back(contexts.back().get());
  }
  const auto interconnect = cuda::MakeNcclInterconnect(borrowed, {});
  ASSERT_TRUE(interconnect.ok()) << interconnect.status();
  constexpr std::int64_t kCount = (std::int64_t{10} << 20) + 3;  // in pieces, the last one short
  std::vector<cuda::DeviceBuffer<float>> buffers;
  std::vector<void*> addresses;
  for (cuda::DeviceContext* context : borrowed) {
    ASSERT_TRUE(context->Activate().ok());
    buffers.push_back(cuda::DeviceBuffer<float>::Make(*context, kCount).value());
    addresses.push_back(buffers.back().data());
  }

  for (int root = 0; root < static_cast<int>(devices.size()); ++root) {
    std::vector<float> sent(kCount), received(kCount);
    std::iota(sent.begin(), sent.end(), static_cast<float>(root));
    ASSERT_TRUE(borrowed[root]->Activate().ok());
    ASSERT_TRUE(borrowed[root]->CopyToDevice(sent.data(), addresses[root], kCount * sizeof(float)).ok());

    const absl::Status status = (*interconnect)->Broadcast(root, addresses, kCount * sizeof(float));

    ASSERT_TRUE(status.ok()) << status;
    for (std::size_t rank = 0; rank < devices.size(); ++rank) {
      ASSERT_TRUE(borrowed[rank]->Activate().ok());
      ASSERT_TRUE(buffers[rank].ToHostSync(absl::MakeSpan(received)).ok());
      EXPECT_TRUE(received == sent) << "from " << root << " to " << rank;
    }
  }
}

}  // namespace
}  // namespace gptvq
