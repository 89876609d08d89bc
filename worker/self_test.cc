#include "worker/self_test.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/device_matrix.h"
#include "core/base/philox.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// Multiples of no tile or vector width. Sums stay below kColumns * kLargest^2 < 2^24.
constexpr std::int64_t kRows = 197;
constexpr std::int64_t kColumns = 301;
constexpr std::int64_t kOutputs = 131;
constexpr int kLargest = 8;  // exact in bf16 too

std::vector<float> WholeNumbers(std::int64_t count, std::uint64_t stream) {
  const Philox random(/*seed=*/1, stream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(static_cast<int>(random.Draw(i)[0] % (2 * kLargest + 1)) - kLargest);
  }
  return values;
}

absl::Status Compare(MatrixView<const float> x, MatrixView<const float> w, MatrixView<const float> y,
                     double tolerance) {
  for (std::int64_t t = 0; t < x.rows; ++t) {
    for (std::int64_t r = 0; r < w.rows; ++r) {
      double expected = 0;
      for (std::int64_t c = 0; c < x.cols; ++c) expected += double{x.at(t, c)} * w.at(r, c);
      if (std::abs(y.at(t, r) - expected) <= tolerance * std::abs(expected)) continue;  // false for NaN
      return absl::InternalError(absl::StrCat("self test: element (", t, ", ", r, ") of a ", x.rows, " x ", w.rows,
                                              " product is ", y.at(t, r), ", not ", expected));
    }
  }
  return absl::OkStatus();
}

// What every rank sends to the others arrives there, byte by byte. Longer than one piece of NCCL's, and odd.
absl::Status TestBroadcasts(const Team& team) {
  constexpr std::int64_t kCount = (std::int64_t{9} << 20) + 1;
  return team.Run([&](const Communicator& ranks) -> absl::Status {
    Backend& backend = team.backend(ranks.rank());
    for (int root = 0; root < ranks.size(); ++root) {
      std::vector<float> sent(static_cast<std::size_t>(kCount));
      for (std::int64_t i = 0; i < kCount; ++i) sent[i] = static_cast<float>((i * (root + 3)) % 8191);
      GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix<float> memory, DeviceMatrix<float>::Zeros(backend, 1, kCount));
      if (root == ranks.rank()) {
        GPTVQ_RETURN_IF_ERROR(backend.CopyBytesFromHost(sent.data(), memory.view().data, memory.bytes()));
      }
      GPTVQ_RETURN_IF_ERROR(ranks.Broadcast(root, memory.view().data, memory.bytes()));
      GPTVQ_ASSIGN_OR_RETURN(const std::vector<float> received, memory.ToHost(backend));
      if (received == sent) continue;
      return absl::InternalError(
          absl::StrCat("self test: ", backend.name(), " does not receive what ", team.backend(root).name(), " sends"));
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::Status RunSelfTest(const Team& team) {
  for (int rank = 0; rank < team.size(); ++rank) GPTVQ_RETURN_IF_ERROR(RunSelfTest(team.backend(rank)));
  return team.size() == 1 ? absl::OkStatus() : TestBroadcasts(team);
}

absl::Status RunSelfTest(Backend& backend) {
  const std::vector<float> x_values = WholeNumbers(kRows * kColumns, 0);
  const std::vector<float> w_values = WholeNumbers(kOutputs * kColumns, 1);
  std::vector<float> y_values(kRows * kOutputs, std::nanf(""));
  const MatrixView<const float> x_host(x_values.data(), kRows, kColumns);
  const MatrixView<const float> w_host(w_values.data(), kOutputs, kColumns);
  const MatrixView<float> y_host(y_values.data(), kRows, kOutputs);

  GPTVQ_ASSIGN_OR_RETURN(const DeviceTensor x, DeviceTensor::FromHost(backend, x_host));
  GPTVQ_ASSIGN_OR_RETURN(const DeviceTensor w, DeviceTensor::FromHost(backend, w_host));
  GPTVQ_ASSIGN_OR_RETURN(DeviceTensor y, DeviceTensor::Allocate(backend, kRows, kOutputs));
  GPTVQ_RETURN_IF_ERROR(backend.forward().Linear(x.view(), w.view(), {}, y.view()));
  GPTVQ_RETURN_IF_ERROR(backend.CopyToHost(y.view(), y_host));

  // The only rounding left is that of the result to the activation dtype.
  const double tolerance = backend.activation_dtype() == DType::kF32 ? 0 : 0x1p-8;
  return Compare(x_host, w_host, y_host, tolerance);
}

}  // namespace gptvq
