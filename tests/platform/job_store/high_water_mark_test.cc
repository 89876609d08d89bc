#include "platform/job_store/high_water_mark.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

namespace gptvq {
namespace {

class HighWaterMarkTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/mark_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void Write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }
  std::string Text() const {
    std::ifstream file(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  std::string path_;
};

TEST_F(HighWaterMarkTest, FindsWhatItWasRaisedTo) {
  constexpr std::int64_t kGreatest = std::numeric_limits<std::int64_t>::max();
  for (const HighWaterMark::Value& value : {HighWaterMark::Value{0, 1}, {7, 123'456}, {kGreatest, kGreatest}}) {
    (*HighWaterMark::Open(path_))->Raise(value);

    EXPECT_EQ((*HighWaterMark::Open(path_))->found(), value);
    EXPECT_EQ(HighWaterMark::Read(path_), value);
  }
}

TEST_F(HighWaterMarkTest, IsOneLineOfSixtyFourBytesForItsOwnerAlone) {
  (*HighWaterMark::Open(path_))->Raise({3, 42});

  EXPECT_EQ(Text().substr(0, 53), "gptvq-mark 1 0000000000000000003 0000000000000000042 ");
  EXPECT_EQ(Text().size(), 64u);
  EXPECT_EQ(Text().back(), '\n');
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0600));
}

TEST_F(HighWaterMarkTest, SaysNothingWhereThereIsNoneYetAndReadingMakesNone) {
  EXPECT_EQ(HighWaterMark::Read(path_), std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_EQ((*HighWaterMark::Open(path_))->found(), std::nullopt);
}

TEST_F(HighWaterMarkTest, SaysNothingWithAnyBitFlippedOrAnyLengthButItsOwn) {
  (*HighWaterMark::Open(path_))->Raise({3, 42});
  const std::string whole = Text();

  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    Write(flipped);
    EXPECT_EQ(HighWaterMark::Read(path_), std::nullopt) << "bit " << bit;
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Write(whole.substr(0, size));
    EXPECT_EQ(HighWaterMark::Read(path_), std::nullopt) << size << " bytes";
  }
  Write(whole + "x");
  EXPECT_EQ(HighWaterMark::Read(path_), std::nullopt);
  Write(std::string(64, '\0'));  // grown by a file system that lost what was in it
  EXPECT_EQ(HighWaterMark::Read(path_), std::nullopt);
}

TEST_F(HighWaterMarkTest, NamesTheFileThatCannotBeMade) {
  const auto mark = HighWaterMark::Open(path_ + "/of/nobody");

  EXPECT_NE(mark.status().message().find(path_), std::string::npos) << mark.status();
}

}  // namespace
}  // namespace gptvq
