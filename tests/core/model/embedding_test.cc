#include "core/model/embedding.h"

#include <cmath>
#include <string>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/model/output_head.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/model/random_checkpoint.h"

namespace gptvq {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A table of several tiles: 3 x 16 MiB and a bit.
ModelConfig ManyTilesConfig() {
  ModelConfig config = TinyConfig(ModelFamily::kQwen3);
  config.hidden_size = 2048;
  config.vocab_size = 3 * 2048 + 5;
  config.layer_count = 0;
  return config;
}

// Every value of the table says where it stands: 13 bits of row and 11 of column are exact in f32.
std::vector<float> RowOf(const ModelConfig& config, std::int64_t id) {
  std::vector<float> row(static_cast<std::size_t>(config.hidden_size));
  for (std::size_t c = 0; c < row.size(); ++c) row[c] = static_cast<float>(id) + static_cast<float>(c) * 0x1p-11f;
  return row;
}

Tensors TableAlone(const ModelConfig& config) {
  Tensors tensors;
  std::vector<float>& table = tensors["model.embed_tokens.weight"];
  for (std::int64_t id = 0; id < config.vocab_size; ++id) {
    const std::vector<float> row = RowOf(config, id);
    table.insert(table.end(), row.begin(), row.end());
  }
  return tensors;
}

TEST(EmbedTokens, PutsTheRowOfEachTokenInItsPlace) {
  const ModelConfig config = ManyTilesConfig();
  const MemoryCheckpoint checkpoint(config, TableAlone(config));
  const auto backend = MakeCpuBackend({});
  // Both ends of the table and of tiles, repeated, far apart and out of order.
  const std::vector<std::int32_t> ids = {6148, 0, 2048, 2047, 0, 4096, 4095, 6148, 17, 6143};

  const auto activations =
      EmbedTokens(*backend, config, checkpoint.get(), MatrixView<const std::int32_t>(ids.data(), 2, 5));

  ASSERT_TRUE(activations.ok()) << activations.status();
  EXPECT_EQ(activations->shape().sample_count, 2);
  EXPECT_EQ(activations->shape().sequence_length, 5);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::vector<float> row(config.hidden_size, std::nanf(""));
    ASSERT_TRUE(activations->CopyRowsToHost(i, MatrixView<float>(row.data(), 1, config.hidden_size)).ok());
    EXPECT_TRUE(row == RowOf(config, ids[i])) << i;
  }
}

TEST(EmbedTokens, NamesIdsOutsideTheVocabulary) {
  const ModelConfig config = TinyConfig(ModelFamily::kLlama);
  const MemoryCheckpoint checkpoint(config, RandomTensors(config, 21));
  const auto backend = MakeCpuBackend({});

  for (std::int32_t bad : {-1, 211, 2147483647}) {
    const std::vector<std::int32_t> ids = {0, 1, 210, 3, 4, bad};
    const auto activations =
        EmbedTokens(*backend, config, checkpoint.get(), MatrixView<const std::int32_t>(ids.data(), 2, 3));

    EXPECT_EQ(activations.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(activations.status().message()),
                AllOf(HasSubstr(std::to_string(bad)), HasSubstr("position 2 of sample 1"), HasSubstr("211")));
  }
}

TEST(TableTileRows, AreBoundedByBytesAndAtLeastOne) {
  ModelConfig config = TinyConfig(ModelFamily::kLlama);
  config.hidden_size = 4096;
  config.vocab_size = 128256;
  EXPECT_EQ(TableTileRows(config), 1024);

  config.vocab_size = 10;
  EXPECT_EQ(TableTileRows(config), 10);

  config.hidden_size = kTableTileBytes;
  EXPECT_EQ(TableTileRows(config), 1);
}

TEST(ForEachHeadTile, VisitsEveryRowOnce) {
  const ModelConfig config = ManyTilesConfig();
  const Tensors tensors = TableAlone(config);
  const MemoryCheckpoint checkpoint(config, tensors);
  const auto backend = MakeCpuBackend({});
  std::vector<float> head;
  std::int64_t tiles = 0;

  const absl::Status status =
      ForEachHeadTile(*backend, config, checkpoint.get(), [&](std::int64_t first_token, ConstTensorView rows) {
        EXPECT_EQ(first_token * config.hidden_size, static_cast<std::int64_t>(head.size()));
        const MatrixView<const float> view = rows.As<const float>();
        for (std::int64_t r = 0; r < view.rows; ++r) head.insert(head.end(), view.row(r), view.row(r) + view.cols);
        ++tiles;
        return absl::OkStatus();
      });

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(head == tensors.at("model.embed_tokens.weight"));
  EXPECT_EQ(tiles, 4);
  EXPECT_EQ(HeadTileCount(config), 4);
}

}  // namespace
}  // namespace gptvq
