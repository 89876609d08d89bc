#include "core/text/calibration_inspection.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/text/byte_tokenizer.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Rows of 4 from a stream of 22 tokens: BOS a a b | a b unknown byte | a a a EOS | x y z x
CalibrationSet FourRows() {
  return CalibrationSet({256, 'a', 'a', 'b', 'a', 'b', 258, 200, 'a', 'a', 'a', 257, 'x', 'y', 'z', 'x'}, {0, 9, 4, 18},
                        4, {.token_count = 22, .document_count = 3});
}

TEST(InspectCalibration, CountsWhatTheRowsHold) {
  const ByteTokenizer tokenizer;

  const CalibrationInspection inspection = InspectCalibration(FourRows(), &tokenizer, {.frequent_tokens = 2});

  EXPECT_EQ(inspection.digest, FourRows().digest());
  EXPECT_EQ(inspection.rows_used, 4);
  EXPECT_EQ(inspection.rows_available, 5);
  EXPECT_EQ(inspection.sequence_length, 4);
  EXPECT_EQ(inspection.stream_tokens, 22);
  EXPECT_EQ(inspection.documents, 3);
  EXPECT_EQ(inspection.distinct_tokens, 9);
  EXPECT_EQ(inspection.bos_tokens, 1);
  EXPECT_EQ(inspection.eos_tokens, 1);
  EXPECT_DOUBLE_EQ(inspection.unknown_share, 1.0 / 16);
  EXPECT_DOUBLE_EQ(inspection.byte_share, 1.0 / 16);
  EXPECT_DOUBLE_EQ(inspection.special_share, 2.0 / 16);
  ASSERT_EQ(inspection.frequent_tokens.size(), 2u);
  EXPECT_EQ(inspection.frequent_tokens[0].text, "a");
  EXPECT_EQ(inspection.frequent_tokens[0].count, 6);
  EXPECT_EQ(inspection.frequent_tokens[1].text, "b");  // as frequent as x; the smaller id first
}

TEST(InspectCalibration, ShowsHeadAndTailOfRowsSpreadOverTheSet) {
  const ByteTokenizer tokenizer;

  const auto excerpts = InspectCalibration(FourRows(), &tokenizer, {.excerpt_rows = 2, .excerpt_tokens = 3}).excerpts;

  ASSERT_EQ(excerpts.size(), 2u);
  EXPECT_EQ(excerpts[0].row, 0);
  EXPECT_EQ(excerpts[0].head, "<s>aa");
  EXPECT_EQ(excerpts[0].tail, "aab");
  EXPECT_EQ(excerpts[1].row, 3);
  EXPECT_EQ(excerpts[1].stream_begin, 18);
  EXPECT_EQ(excerpts[1].tail, "yzx");
  EXPECT_EQ(InspectCalibration(FourRows(), &tokenizer, {.excerpt_rows = 99}).excerpts.size(), 4u);
  EXPECT_EQ(InspectCalibration(FourRows(), &tokenizer, {.excerpt_rows = 1}).excerpts[0].row, 0);
}

TEST(InspectCalibration, WithoutATokenizerItStillCounts) {
  const CalibrationInspection inspection = InspectCalibration(FourRows(), nullptr);

  EXPECT_EQ(inspection.distinct_tokens, 9);
  EXPECT_EQ(inspection.frequent_tokens[0].id, 'a');
  EXPECT_THAT(inspection.frequent_tokens[0].text, IsEmpty());
  EXPECT_THAT(inspection.excerpts[0].head, IsEmpty());
  EXPECT_EQ(inspection.special_share, 0);
}

}  // namespace
}  // namespace gptvq
