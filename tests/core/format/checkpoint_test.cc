#include "core/format/checkpoint.h"

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "core/base/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/format/safetensors_bytes.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Index(const std::string& weight_map, const std::string& metadata) {
  return "{\"metadata\":{" + metadata + "},\"weight_map\":{" + weight_map + "}}";
}

constexpr char kTwoShardsMap[] = "\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"";

void PutTwoShards(MemoryDirectory& directory) {
  directory.Put("one.safetensors", OneMatrixFile("a", 2, 3, {0, 1, 2, 3, 4, 5}));
  directory.Put("two.safetensors", OneMatrixFile("b", 1, 2, {-1, -2}));
}

TEST(Checkpoint, ReadsASingleFile) {
  MemoryDirectory directory;
  directory.Put("model.safetensors", OneMatrixFile("w", 2, 2, {1, 2, 3, 4}));

  const auto checkpoint = Checkpoint::Open(directory);

  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT(checkpoint->TensorNames(), ElementsAre("w"));
  EXPECT_EQ(checkpoint->Get("w")->shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(checkpoint->Find("x"), nullptr);
  EXPECT_EQ(checkpoint->Get("x").status().code(), absl::StatusCode::kNotFound);
}

TEST(Checkpoint, ReadsRowsOfAShardIntoAWiderView) {
  MemoryDirectory directory;
  PutTwoShards(directory);
  directory.Put("model.safetensors.index.json", Index(kTwoShardsMap, "\"total_size\":32"));
  const auto checkpoint = Checkpoint::Open(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<float> values(5, std::numeric_limits<float>::quiet_NaN());

  ASSERT_TRUE(checkpoint->ReadRows("a", 1, MatrixView<float>(values.data(), 1, 3, 5)).ok());

  EXPECT_EQ(std::vector<float>(values.begin(), values.begin() + 3), (std::vector<float>{3, 4, 5}));
  EXPECT_TRUE(std::isnan(values[3]));
  EXPECT_TRUE(checkpoint->warnings().empty());
}

TEST(Checkpoint, ConvertsHalfAndBfloatExactly) {
  const std::string header =
      "{" + TensorEntry("h", "F16", "2", "0,4") + "," + TensorEntry("g", "BF16", "2", "4,8") + "}";
  MemoryDirectory directory;
  directory.Put("model.safetensors", FileWithHeader(header, LittleEndian(0x3E00, 2) + LittleEndian(0xC000, 2) +
                                                                LittleEndian(0x3FC0, 2) + LittleEndian(0xFF80, 2)));
  const auto checkpoint = Checkpoint::Open(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<float> half(2), bfloat(2);

  ASSERT_TRUE(checkpoint->ReadAll("h", absl::MakeSpan(half)).ok());
  ASSERT_TRUE(checkpoint->ReadAll("g", absl::MakeSpan(bfloat)).ok());

  EXPECT_EQ(half, (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(bfloat, (std::vector<float>{1.5f, -std::numeric_limits<float>::infinity()}));
}

TEST(Checkpoint, ReadsATensorLargerThanItsBuffer) {
  std::vector<float> values(700'001);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  MemoryDirectory directory;
  directory.Put("model.safetensors", OneMatrixFile("w", 1, 700'001, values));
  const auto checkpoint = Checkpoint::Open(directory);
  std::vector<float> read(values.size(), std::numeric_limits<float>::quiet_NaN());

  ASSERT_TRUE(checkpoint->ReadAll("w", absl::MakeSpan(read)).ok());

  EXPECT_EQ(read, values);
}

TEST(Checkpoint, RefusesReadsThatDoNotFitTheTensor) {
  const std::string header = "{" + TensorEntry("i", "I32", "1", "0,4") + "," + TensorEntry("v", "F32", "1", "4,8") +
                             "," + TensorEntry("w", "F32", "1,1", "8,12") + "}";
  MemoryDirectory directory;
  directory.Put("model.safetensors", FileWithHeader(header, std::string(12, '\0')));
  const auto checkpoint = Checkpoint::Open(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<float> two(2);
  const MatrixView<float> one_by_one(two.data(), 1, 1);
  using absl::StatusCode;

  EXPECT_EQ(checkpoint->ReadAll("i", absl::MakeSpan(two).subspan(0, 1)).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(checkpoint->ReadAll("v", absl::MakeSpan(two)).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(checkpoint->ReadRows("v", 0, one_by_one).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(checkpoint->ReadRows("w", 0, MatrixView<float>(two.data(), 1, 2)).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(checkpoint->ReadRows("w", 1, one_by_one).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(checkpoint->ReadRows("w", -1, one_by_one).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(checkpoint->ReadRows("none", 0, one_by_one).code(), StatusCode::kNotFound);
  EXPECT_TRUE(checkpoint->ReadRows("w", 1, MatrixView<float>(two.data(), 0, 1)).ok());
}

TEST(Checkpoint, CanBeReadFromManyThreads) {
  std::vector<float> values(100'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  MemoryDirectory directory;
  directory.Put("model.safetensors", OneMatrixFile("w", 100, 1000, values));
  const auto checkpoint = Checkpoint::Open(directory);
  std::vector<float> read(values.size());

  {
    std::vector<std::jthread> threads;
    for (std::int64_t t = 0; t < 4; ++t) {
      threads.emplace_back(
          [&, t] { (void)checkpoint->ReadRows("w", 25 * t, MatrixView<float>(read.data() + 25'000 * t, 25, 1000)); });
    }
  }

  EXPECT_EQ(read, values);
}

struct BadIndex {
  std::string what;
  std::string weight_map;
  std::string metadata;
  std::string message;
};

// D59, D61, D62; docs/format.md 3.2.
TEST(Checkpoint, RefusesAnIndexThatContradictsTheDirectory) {
  const std::string a = "\"a\":\"one.safetensors\"";
  const BadIndex rows[] = {
      {"D61 parent", a + ",\"b\":\"../two.safetensors\"", "", "entry 'b' names \"../two.safetensors\""},
      {"D61 absolute", a + ",\"b\":\"/etc/passwd\"", "", "entry 'b' names \"/etc/passwd\""},
      {"D61 folder", a + ",\"b\":\"x/two.safetensors\"", "", "entry 'b'"},
      {"D61 NUL", a + ",\"b\":\"two.safetensors\\u0000.safetensors\"", "", "entry 'b'"},
      {"D61 URL", a + ",\"b\":\"https://example.org/two.safetensors\"", "", "entry 'b'"},
      {"D61 other file", a + ",\"b\":\"config.json\"", "", "entry 'b'"},
      {"D61 number", a + ",\"b\":2", "", "entry 'b' names 2"},
      {"D61 missing shard", a + ",\"b\":\"three.safetensors\"", "", "the shard three.safetensors, which is not in"},
      {"D59 missing tensor", a + ",\"c\":\"two.safetensors\"", "",
       "tensor 'c' is not in the shard it is mapped to, two"},
      {"D59 mapped to another shard", "\"a\":\"two.safetensors\",\"b\":\"two.safetensors\"", "",
       "tensor 'a' is not in"},
      {"D62 too small", kTwoShardsMap, "\"total_size\":31", "total_size is 31, but the shards hold 32"},
      {"D62 fraction", kTwoShardsMap, "\"total_size\":32.5", "total_size is not a whole number"},
      {"D62 negative", kTwoShardsMap, "\"total_size\":-1", "total_size is not a whole number"},
      {"D62 text", kTwoShardsMap, "\"total_size\":\"32\"", "total_size is not a whole number"},
      {"empty map", "", "", "weight_map is empty"},
      {"entry twice", a + "," + a, "", "duplicate key 'a'"},
  };
  for (const BadIndex& row : rows) {
    SCOPED_TRACE(row.what);
    MemoryDirectory directory;
    PutTwoShards(directory);
    directory.Put("config.json", "{}");
    directory.Put("model.safetensors.index.json", Index(row.weight_map, row.metadata));

    const auto checkpoint = Checkpoint::Open(directory);

    EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(row.message));
    EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr("model.safetensors.index.json"));
  }
}

TEST(Checkpoint, RefusesATensorInTwoShards) {
  MemoryDirectory directory;
  PutTwoShards(directory);
  directory.Put("two.safetensors", OneMatrixFile("a", 1, 1, {7}));
  directory.Put("model.safetensors.index.json", Index("\"a\":\"one.safetensors\",\"z\":\"two.safetensors\"", ""));

  const auto checkpoint = Checkpoint::Open(directory);

  EXPECT_THAT(std::string(checkpoint.status().message()),
              HasSubstr("tensor 'a' is in two shards, one.safetensors and two.safetensors"));
}

TEST(Checkpoint, WarnsOfWhatIsOddButUsable) {
  MemoryDirectory directory;
  directory.Put("one.safetensors", FileWithHeader("{" + TensorEntry("a", "U8", "1", "0,1") + "," +
                                                      TensorEntry("extra", "U8", "1", "1,2") + "}",
                                                  "xy"));
  directory.Put("model.safetensors.index.json", Index("\"a\":\"one.safetensors\"", ""));

  const auto checkpoint = Checkpoint::Open(directory);

  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT(checkpoint->warnings(),
              ElementsAre(HasSubstr("1 tensors of the shards are not listed"), HasSubstr("no total_size")));
  EXPECT_THAT(checkpoint->TensorNames(), ElementsAre("a", "extra"));
}

TEST(Checkpoint, AcceptsATotalSizeWrittenAsAFloat) {
  MemoryDirectory directory;
  PutTwoShards(directory);
  directory.Put("model.safetensors.index.json", Index(kTwoShardsMap, "\"total_size\":32.0"));

  EXPECT_TRUE(Checkpoint::Open(directory).ok());
}

TEST(Checkpoint, PrefersTheSingleFileAndSaysSo) {
  MemoryDirectory directory;
  directory.Put("model.safetensors", OneMatrixFile("w", 1, 1, {1}));
  directory.Put("model.safetensors.index.json", "not read");

  const auto checkpoint = Checkpoint::Open(directory);

  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT(checkpoint->warnings(), ElementsAre(HasSubstr("the former is used")));
}

TEST(Checkpoint, SaysWhatToDoWithPickles) {
  MemoryDirectory directory("models/old");
  directory.Put("pytorch_model.bin", "x");

  const auto checkpoint = Checkpoint::Open(directory);

  EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr("models/old"));
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr("safe_serialization"));
}

}  // namespace
}  // namespace gptvq
