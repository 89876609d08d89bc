#include "core/text/calibration_set.h"

#include <limits>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/text/byte_tokenizer.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CalibrationOptions Options(std::int64_t samples, std::int64_t sequence_length, WindowMode mode) {
  CalibrationOptions options;
  options.documents.vocabulary_size = 259;
  options.samples = samples;
  options.sequence_length = sequence_length;
  options.window_mode = mode;
  return options;
}

absl::StatusOr<CalibrationSet> Build(const std::vector<MemoryFile>& files, const CalibrationOptions& options) {
  const ByteTokenizer tokenizer;
  std::vector<const RandomAccessFile*> pointers;
  for (const MemoryFile& file : files) pointers.push_back(&file);
  return BuildCalibrationSet(pointers, &tokenizer, options);
}

std::vector<TokenId> Row(const CalibrationSet& set, std::int64_t row) {
  return {set.tokens().row(row), set.tokens().row(row) + set.sequence_length()};
}

std::vector<TokenId> AllTokens(const CalibrationSet& set) {
  return {set.tokens().data, set.tokens().data + set.samples() * set.sequence_length()};
}

// Text in which every stretch of four bytes is different.
std::string Counting(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += std::to_string(1000 + i);
  return text;
}

TEST(CalibrationSet, ConsecutiveRowsAreTheStreamItself) {
  const auto set = Build({MemoryFile("a.jsonl", "{\"text\": \"abc\"}\n{\"text\": \"de\"}"), MemoryFile("b.txt", "fgh")},
                         Options(0, 4, WindowMode::kConsecutive));

  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->samples(), 2);  // 11 tokens: the last three fill no row
  EXPECT_THAT(Row(*set, 0), ElementsAre(256, 'a', 'b', 'c'));
  EXPECT_THAT(Row(*set, 1), ElementsAre(256, 'd', 'e', 256));
  EXPECT_THAT(set->row_begins(), ElementsAre(0, 4));
  EXPECT_EQ(set->stream().token_count, 11);
  EXPECT_EQ(set->stream().document_count, 3);
}

TEST(CalibrationSet, ConsecutiveRowsStopAtTheLimit) {
  const auto set = Build({MemoryFile("a.txt", "abcdefghijkl")}, Options(2, 3, WindowMode::kConsecutive));

  const auto without_need = Build({MemoryFile("a.txt", "abcdefghijkl")},
                                  Options(std::numeric_limits<std::int64_t>::max(), 3, WindowMode::kConsecutive));

  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->samples(), 2);
  ASSERT_TRUE(without_need.ok()) << without_need.status();
  EXPECT_EQ(without_need->samples(), 4);
}

TEST(CalibrationSet, SpreadRowsReachFromTheFirstTokenToTheLast) {
  const auto set = Build({MemoryFile("a.txt", Counting(100))}, Options(5, 20, WindowMode::kSpread));
  const auto single = Build({MemoryFile("a.txt", Counting(100))}, Options(1, 20, WindowMode::kSpread));

  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->row_begins(), ElementsAre(0, 95, 190, 285, 381));  // 401 tokens: floor(381 i / 4)
  EXPECT_THAT(single->row_begins(), ElementsAre(0));
}

TEST(CalibrationSet, RandomRowsAreWindowsOfTheStreamGivenByTheSeed) {
  CalibrationOptions options = Options(50, 8, WindowMode::kRandom);
  const std::string text = Counting(200);
  const std::vector<MemoryFile> files = {MemoryFile("a.txt", text)};
  const auto set = Build(files, options);
  ASSERT_TRUE(set.ok()) << set.status();

  for (std::int64_t row = 0; row < set->samples(); ++row) {
    const std::int64_t begin = set->row_begins()[row];
    ASSERT_GE(begin, 0);
    ASSERT_LE(begin, 801 - 8);
    for (std::int64_t i = 0; i < 8; ++i) {
      ASSERT_EQ(set->tokens().at(row, i), begin + i == 0 ? 256 : text[begin + i - 1]) << row;
    }
  }
  EXPECT_EQ(Build(files, options)->digest(), set->digest());
  options.seed = 1;
  EXPECT_NE(Build(files, options)->digest(), set->digest());
}

// The first and the last window, and everything between, come up about equally often.
TEST(CalibrationSet, RandomRowsCoverTheStreamEvenly) {
  const auto set = Build({MemoryFile("a.txt", std::string(20'009, 'x'))}, Options(2000, 10, WindowMode::kRandom));
  ASSERT_TRUE(set.ok()) << set.status();

  std::vector<int> counts(10);
  for (const std::int64_t begin : set->row_begins()) ++counts[begin / 2001];
  for (const int count : counts) EXPECT_NEAR(count, 200, 5 * 13.4);  // five standard deviations of the binomial
}

TEST(CalibrationSet, DoesNotDependOnHowMuchIsBuffered) {
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "{\"text\": \"" + Counting(1 + i * 7 % 30) + "\"}\n";
  for (const WindowMode mode : {WindowMode::kRandom, WindowMode::kSpread, WindowMode::kConsecutive}) {
    CalibrationOptions options = Options(20, 33, mode);
    const auto buffered = Build({MemoryFile("a.jsonl", lines), MemoryFile("b.txt", Counting(50))}, options);
    options.max_buffered_tokens = 100;
    const auto streamed = Build({MemoryFile("a.jsonl", lines), MemoryFile("b.txt", Counting(50))}, options);

    ASSERT_TRUE(buffered.ok()) << buffered.status();
    ASSERT_TRUE(streamed.ok()) << streamed.status();
    EXPECT_EQ(AllTokens(*buffered), AllTokens(*streamed));
  }
}

TEST(CalibrationSet, ALongTextGetsOneBos) {
  CalibrationOptions options = Options(0, 16, WindowMode::kConsecutive);
  options.documents.part_bytes = 16;
  const auto set = Build({MemoryFile("a.txt", "seven..\nseven..\nseven..\nseven..")}, options);

  ASSERT_TRUE(set.ok()) << set.status();
  const auto tokens = AllTokens(*set);
  EXPECT_EQ(std::ranges::count(tokens, 256), 1);
  EXPECT_EQ(set->stream().token_count, 32);
  EXPECT_EQ(set->stream().document_count, 1);
}

TEST(CalibrationSet, TakesIdsAsTheyAreWithoutATokenizer) {
  const MemoryFile ids("a.ids", "1 2 3\n4 5 6\n");
  const MemoryFile text("a.txt", "abcdef");
  const auto options = Options(0, 3, WindowMode::kConsecutive);

  const auto set = BuildCalibrationSet({&ids}, nullptr, options);

  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(AllTokens(*set), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(std::string(BuildCalibrationSet({&text}, nullptr, options).status().message()),
              HasSubstr("a.txt: text, but the model has no tokenizer"));
}

TEST(CalibrationSet, DigestIsThatOfLittleEndianIds) {
  const MemoryFile ids("a.ids", "1 2 258");
  const auto set = BuildCalibrationSet({&ids}, nullptr, Options(0, 3, WindowMode::kConsecutive));

  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->digest(), Digest::Of(AsBytes(std::string("\1\0\0\0\2\0\0\0\2\1\0\0", 12))));
}

TEST(CalibrationSet, SaysHowManyTokensThereAreAndHowManyAreNeeded) {
  const auto message = [](const std::string& text, WindowMode mode) {
    const auto set = Build({MemoryFile("a.txt", text)}, Options(4, 8, mode));
    EXPECT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(set.status().message());
  };
  EXPECT_THAT(message("", WindowMode::kRandom), HasSubstr("0 tokens in 0 documents, but 4 rows of 8 tokens need 32"));
  EXPECT_THAT(message("x", WindowMode::kSpread), HasSubstr("2 tokens in 1 documents, but 4 rows of 8 tokens need 32"));
  EXPECT_THAT(message(std::string(30, ' '), WindowMode::kRandom), HasSubstr("31 tokens"));
  EXPECT_THAT(message("abc", WindowMode::kConsecutive), HasSubstr("1 rows of 8 tokens need 8"));
}

TEST(CalibrationSet, RefusesATokenizerOfAnotherModel) {
  CalibrationOptions options = Options(1, 4, WindowMode::kRandom);
  options.documents.vocabulary_size = 101;

  EXPECT_THAT(std::string(Build({MemoryFile("a.txt", "abcdef")}, options).status().message()),
              HasSubstr("a.txt: the tokenizer gives id 256 at token 0, but the model's vocabulary has only 101"));
}

TEST(CalibrationSet, RefusesOptionsOutOfRangeByName) {
  const auto message = [](const CalibrationOptions& options) { return std::string(options.Validate().message()); };

  EXPECT_THAT(message(Options(0, 8, WindowMode::kRandom)), HasSubstr("samples is 0, not from 1 to 65536"));
  EXPECT_THAT(message(Options(8, 1, WindowMode::kRandom)), HasSubstr("sequence_length is 1, not from 2"));
  EXPECT_THAT(message(Options(65536, 131072, WindowMode::kRandom)), HasSubstr("samples x sequence_length"));
  CalibrationOptions options = Options(8, 8, WindowMode::kRandom);
  options.documents.vocabulary_size = 0;
  EXPECT_THAT(message(options), HasSubstr("vocabulary_size is 0"));
}

}  // namespace
}  // namespace gptvq
