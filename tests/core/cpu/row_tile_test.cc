#include "core/cpu/row_tile.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

TEST(RowTile, GatheringPutsEveryRowIntoItsLane) {
  for (std::int64_t rows : {1, 3, 4, 31, 32}) {
    for (std::int64_t cols : {1, 4, 6, 128}) {
      const std::vector<float> values = TestRandom(1).Normals(rows * (cols + 2));
      const MatrixView<const float> matrix(values.data(), rows, cols, cols + 2);
      std::vector<float> tile(cols * kTileRows, std::nanf(""));

      GatherTile(matrix, tile.data());

      for (std::int64_t c = 0; c < cols; ++c) {
        for (std::int64_t lane = 0; lane < kTileRows; ++lane) {
          ASSERT_EQ(tile[c * kTileRows + lane], lane < rows ? matrix.at(lane, c) : 0.0f) << lane << " " << c;
        }
      }
      std::vector<float> back(values.size(), std::nanf(""));
      ScatterTile(tile.data(), MatrixView<float>(back.data(), rows, cols, cols + 2));
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) ASSERT_EQ(back[r * (cols + 2) + c], matrix.at(r, c));
        ASSERT_TRUE(std::isnan(back[r * (cols + 2) + cols])) << "wrote beyond the row";
      }
    }
  }
}

TEST(RowTile, PackedMetricIsTheQuadraticForm) {
  const std::vector<float> values = {2, 3, 9, 9,  //
                                     3, 5, 9, 9,  //
                                     9, 9, 7, 1,  //
                                     9, 9, 1, 4};

  const std::vector<float> packed = PackMetric(MatrixView<const float>(values.data(), 4, 4), 2);

  EXPECT_EQ(packed, (std::vector<float>{2, 6, 5, 7, 2, 4}));
}

TEST(RowTile, ATileInsideOneGroupSharesItsCodebook) {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 4;
  spec.group_weights = 2048;  // 8 rows of 256 columns
  const GroupLayout layout = GroupLayout::Make(64, 512, spec).value();
  spec.group_weights = 8192;  // 32 rows
  const GroupLayout tall = GroupLayout::Make(64, 512, spec).value();
  const std::vector<float> entries = TestRandom(2).Normals(layout.group_count() * 32);
  VectorCode code;
  code.vector_dim = 2;
  code.index_bits = 4;
  TileCode tile;

  code.layout = &tall;
  tile.Load(code, MatrixView<const float>(entries.data(), tall.group_count(), 32), SegmentsOf(tall, 128, 384), 32, 32,
            128, 256);
  ASSERT_EQ(tile.codebooks().size(), 2u);
  EXPECT_TRUE(tile.codebooks()[0].shared);

  code.layout = &layout;
  tile.Load(code, MatrixView<const float>(entries.data(), layout.group_count(), 32), SegmentsOf(layout, 128, 384), 32,
            32, 128, 256);
  EXPECT_FALSE(tile.codebooks()[0].shared);
  const std::int64_t group = GroupOf(layout, layout.stripes()[1], 32 + 9);
  EXPECT_EQ(tile.codebooks()[1].table[(5 * 2 + 1) * kTileRows + 9], entries[group * 32 + 5 * 2 + 1]);
}

}  // namespace
}  // namespace gptvq
