#include "core/pipeline/layer_upload.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "core/model/linear_role.h"
#include "core/model/model_tensors.h"
#include "core/pipeline/layer_read_ahead.h"
#include "core/pipeline/source_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

// Uploads to host memory, in pieces, as long as there is room.
class HostLane final : public UploadLane {
 public:
  HostLane(Backend& backend, std::uint64_t room_bytes) : backend_(backend), room_bytes_(room_bytes) {}

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Upload(std::uint64_t bytes, Fill fill) override {
    constexpr std::uint64_t kPieceBytes = 1000;  // of no tensor a divisor
    if (bytes > room_bytes_) return absl::ResourceExhaustedError("no room");
    room_bytes_ -= bytes;
    std::unique_ptr<DeviceMemory> memory = backend_.Allocate(bytes).value();
    for (std::uint64_t offset = 0; offset < bytes; offset += kPieceBytes) {
      const std::uint64_t count = std::min(kPieceBytes, bytes - offset);
      auto* piece = static_cast<std::byte*>(memory->address()) + offset;
      if (absl::Status status = fill(offset, absl::MakeSpan(piece, count)); !status.ok()) return status;
    }
    return memory;
  }

 private:
  Backend& backend_;
  std::uint64_t room_bytes_;
};

class LayerUploadTest : public ::testing::Test {
 protected:
  Checkpoint Hold(const TinyModel& model) {
    WriteTinyModel(model, directory_);
    source_ = SourceModel::Open(directory_).value();
    return HoldLayer(source_->config(), source_->checkpoint(), 1, {}).value();
  }
  UploadLanes Lanes(std::vector<std::uint64_t> rooms) {
    UploadLanes lanes;
    for (std::uint64_t room : rooms) lanes.push_back(std::make_unique<HostLane>(*backend_, room));
    return lanes;
  }

  static constexpr std::uint64_t kAmple = 1 << 30;

  const std::unique_ptr<Backend> backend_ = MakeCpuBackend({.thread_count = 1});
  MemoryDirectory directory_;
  std::unique_ptr<SourceModel> source_;
};

TEST_F(LayerUploadTest, GivesEveryRankEveryLinearAsItIsStored) {
  const Checkpoint held = Hold({.layer_count = 2, .dtype = DType::kF16});

  const auto uploaded = UploadLinears(held, 1, Lanes({kAmple, kAmple}), {});

  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  ASSERT_EQ(uploaded->size(), 2u);
  for (const StoredLinears& linears : *uploaded) {
    for (LinearRole role : kLinearRoles) {
      const TensorInfo tensor = held.Get(WeightTensor(1, role)).value();
      std::vector<std::byte> stored(tensor.byte_count());
      ASSERT_TRUE(held.ReadBytes(tensor.name, 0, absl::MakeSpan(stored)).ok());
      const ConstTensorView view = linears[static_cast<std::size_t>(role)].view();
      EXPECT_EQ(view.dtype, DType::kF16);
      EXPECT_EQ(tensor.shape, (std::vector<std::int64_t>{view.rows, view.cols}));
      EXPECT_EQ(std::memcmp(view.data, stored.data(), stored.size()), 0) << tensor.name;
    }
  }
}

TEST_F(LayerUploadTest, IsEmptyOnEveryRankWhenOneHasNoRoomAfterAll) {
  const Checkpoint held = Hold({.layer_count = 2});

  const auto uploaded = UploadLinears(held, 1, Lanes({kAmple, 40000}), {});

  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_TRUE(uploaded->empty());
}

TEST_F(LayerUploadTest, IsEmptyForWhatNoBackendConverts) {
  const Checkpoint held = Hold({.layer_count = 2, .dtype = DType::kF64});

  const auto uploaded = UploadLinears(held, 1, Lanes({kAmple}), {});

  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_TRUE(uploaded->empty());
}

TEST_F(LayerUploadTest, EndsWhenItIsStopped) {
  const Checkpoint held = Hold({.layer_count = 2});
  std::stop_source stop;
  stop.request_stop();

  const auto uploaded = UploadLinears(held, 1, Lanes({kAmple}), stop.get_token());

  EXPECT_EQ(uploaded.status().code(), absl::StatusCode::kCancelled);
}

TEST_F(LayerUploadTest, MemoryOfTheHostNeedsNoLane) {
  EXPECT_TRUE(MakeUploadLanes(Team(*backend_), 0).value().empty());
}

}  // namespace
}  // namespace gptvq
