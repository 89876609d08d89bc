#include "core/pipeline/layer_read_ahead.h"

#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <semaphore>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/memory_file.h"
#include "core/model/linear_role.h"
#include "core/model/model_tensors.h"
#include "core/pipeline/source_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

using ::testing::HasSubstr;

using ReadHook = std::function<absl::Status(std::uint64_t offset)>;

// Asks before every read of the weights.
class HookedFile final : public RandomAccessFile {
 public:
  HookedFile(std::unique_ptr<RandomAccessFile> file, const ReadHook& hook) : file_(std::move(file)), hook_(hook) {}

  std::string_view name() const override { return file_->name(); }
  std::uint64_t size() const override { return file_->size(); }
  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    if (hook_) {
      if (absl::Status status = hook_(offset); !status.ok()) return status;
    }
    return file_->ReadAt(offset, bytes_out);
  }

 private:
  const std::unique_ptr<RandomAccessFile> file_;
  const ReadHook& hook_;
};

class LayerReadAheadTest : public ::testing::Test, public ReadableDirectory {
 protected:
  LayerReadAheadTest() {
    WriteTinyModel(model_, memory_);
    auto source = SourceModel::Open(*this);
    EXPECT_TRUE(source.ok()) << source.status();
    source_ = *std::move(source);
  }

  std::string_view name() const override { return memory_.name(); }
  absl::StatusOr<std::vector<std::string>> List() const override { return memory_.List(); }
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view file_name) const override {
    auto file = memory_.Open(file_name);
    if (!file.ok()) return file.status();
    return std::make_unique<HookedFile>(*std::move(file), hook_);
  }

  LayerReadAhead ReadAll() {
    std::vector<int> layers(static_cast<std::size_t>(model_.layer_count));
    std::iota(layers.begin(), layers.end(), 0);
    return LayerReadAhead(source_->config(), source_->checkpoint(), layers, no_lanes_);
  }

  // The layer that a read is of, if any.
  std::optional<int> LayerAt(std::uint64_t offset) const {
    for (int layer = 0; layer < model_.layer_count; ++layer) {
      for (const ExpectedTensor& expected : LayerTensors(source_->config(), layer)) {
        const StoredTensor* tensor = source_->checkpoint().shards().front().Find(expected.name);
        if (offset >= tensor->file_offset && offset < tensor->file_offset + tensor->info.byte_count()) return layer;
      }
    }
    return std::nullopt;
  }

  const TinyModel model_;
  MemoryDirectory memory_;
  ReadHook hook_;  // set while nobody reads
  std::unique_ptr<SourceModel> source_;
  const UploadLanes no_lanes_;
};

std::string BytesOf(const Checkpoint& checkpoint, const std::string& tensor) {
  std::string bytes(checkpoint.Get(tensor).value().byte_count(), '\0');
  EXPECT_TRUE(checkpoint.ReadBytes(tensor, 0, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}).ok());
  return bytes;
}

TEST_F(LayerReadAheadTest, GivesEveryTensorOfEveryLayerAsItIsStored) {
  LayerReadAhead read_ahead = ReadAll();

  for (int layer = 0; layer < model_.layer_count; ++layer) {
    const auto held = read_ahead.Next();
    ASSERT_TRUE(held.ok()) << held.status();
    const std::vector<ExpectedTensor> tensors = LayerTensors(source_->config(), layer);
    EXPECT_EQ(held->tensors.TensorNames().size(), tensors.size());
    for (const ExpectedTensor& expected : tensors) {
      EXPECT_EQ(held->tensors.Get(expected.name)->dtype, source_->checkpoint().Get(expected.name)->dtype);
      EXPECT_EQ(held->tensors.Get(expected.name)->shape, expected.shape);
      EXPECT_EQ(BytesOf(held->tensors, expected.name), BytesOf(source_->checkpoint(), expected.name)) << expected.name;
    }
  }
}

TEST_F(LayerReadAheadTest, GivesOnlyTheLayersThatAreWanted) {
  LayerReadAhead read_ahead(source_->config(), source_->checkpoint(), {1}, no_lanes_);

  const auto held = read_ahead.Next();

  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_TRUE(held->tensors.Get(LayerTensors(source_->config(), 1).front().name).ok());
  EXPECT_FALSE(held->tensors.Get(LayerTensors(source_->config(), 0).front().name).ok());
}

TEST_F(LayerReadAheadTest, ReadsExactlyOneLayerAhead) {
  std::binary_semaphore next_is_being_read(0);
  std::atomic<int> deepest = -1;
  hook_ = [&](std::uint64_t offset) {
    const int layer = LayerAt(offset).value();
    if (deepest.exchange(layer) == 0 && layer == 1) next_is_being_read.release();
    return absl::OkStatus();
  };
  {
    LayerReadAhead read_ahead = ReadAll();

    const auto first = read_ahead.Next();

    next_is_being_read.acquire();  // though nobody asked for it
    EXPECT_EQ(deepest, 1);
    EXPECT_TRUE(read_ahead.Next().ok());
  }
  EXPECT_LE(deepest, 2);
}

TEST_F(LayerReadAheadTest, AnErrorIsOfTheLayerThatCouldNotBeRead) {
  hook_ = [this](std::uint64_t offset) {
    return LayerAt(offset) == 1 ? absl::UnavailableError("the store is away") : absl::OkStatus();
  };
  LayerReadAhead read_ahead = ReadAll();

  EXPECT_TRUE(read_ahead.Next().ok());
  const auto second = read_ahead.Next();

  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("the store is away"));
}

TEST_F(LayerReadAheadTest, HoldLayerEndsWhenItIsStopped) {
  std::stop_source stop;
  int reads = 0;
  hook_ = [&](std::uint64_t) {
    ++reads;
    stop.request_stop();
    return absl::OkStatus();
  };

  const auto held = HoldLayer(source_->config(), source_->checkpoint(), 0, stop.get_token());

  EXPECT_EQ(held.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(reads, 1);
}

}  // namespace
}  // namespace gptvq
