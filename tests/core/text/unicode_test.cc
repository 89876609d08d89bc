#include "core/text/unicode.h"

#include <string>

#include "gtest/gtest.h"

namespace gptvq::unicode {
namespace {

TEST(Unicode, EncodesAndDecodesEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string text;
    AppendUtf8(c, text);

    const Character decoded = DecodeAt(text, 0);

    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.end, text.size());
    ASSERT_EQ(FindInvalidUtf8(text), text.size());
  }
}

TEST(Unicode, FindsTheFirstByteThatIsNotUtf8) {
  const std::pair<std::string, std::size_t> cases[] = {{"abc", 3},
                                                       {"", 0},
                                                       {"ab\xff", 2},
                                                       {"\x80", 0},
                                                       {"a\xc3", 1},
                                                       {"\xc0\xaf", 0},
                                                       {"\xe0\x9f\xbf", 0},  // overlong
                                                       {"\xed\xa0\x80", 0},  // surrogate
                                                       {"\xf4\x90\x80\x80", 0},
                                                       {"\xf0\x8f\xbf\xbf", 0},
                                                       {"\xf8\x88\x80\x80\x80", 0},
                                                       {"é\xe4\xb8", 2},
                                                       {"\xed\x9f\xbf", 3},
                                                       {"\xf4\x8f\xbf\xbf", 4}};
  for (const auto& [text, offset] : cases) EXPECT_EQ(FindInvalidUtf8(text), offset) << testing::PrintToString(text);
}

TEST(Unicode, ClassifiesByGeneralCategoryAndWhiteSpace) {
  const std::pair<char32_t, unsigned> cases[] = {{'A', kUpper},
                                                 {'z', kLower},
                                                 {'7', kNumber},
                                                 {' ', kSpace},
                                                 {'\n', kSpace | kNewline},
                                                 {'_', 0},
                                                 {0x85, kSpace},
                                                 {0xa0, kSpace},
                                                 {0x200b, 0},
                                                 {0x3000, kSpace},
                                                 {0x1c5, kUpper},  // Lt
                                                 {0xdf, kLower},
                                                 {0x2b0, kOtherLetter},
                                                 {0x4e2d, kOtherLetter},
                                                 {0x301, kMark},
                                                 {0x2167, kNumber},
                                                 {0xbd, kNumber},
                                                 {0x1f600, 0},
                                                 {0xe000, 0}};
  for (const auto& [code_point, classes] : cases) {
    EXPECT_EQ(ClassesOf(code_point), classes) << std::hex << static_cast<unsigned>(code_point);
  }
}

TEST(Unicode, KnowsWordCharacters) {
  for (const char32_t c :
       {char32_t{'a'}, char32_t{'9'}, char32_t{'_'}, char32_t{0x301}, char32_t{0x4e2d}, char32_t{0x200d}}) {
    EXPECT_TRUE(IsWordCharacter(c)) << std::hex << static_cast<unsigned>(c);
  }
  for (const char32_t c : {char32_t{'-'}, char32_t{' '}, char32_t{0xbd}, char32_t{0x1f600}}) {
    EXPECT_FALSE(IsWordCharacter(c)) << std::hex << static_cast<unsigned>(c);
  }
}

// From Unicode's NormalizationTest.txt, part 1.
TEST(Unicode, ComposesAsNormalizationFormC) {
  EXPECT_EQ(NormalizeNfc("e\u0301"), "\u00e9");
  EXPECT_EQ(NormalizeNfc("D\u0307\u0323"), "\u1e0c\u0307");
  EXPECT_EQ(NormalizeNfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(NormalizeNfc("\u212b"), "\u00c5");
  EXPECT_EQ(NormalizeNfc("\u0958"), "\u0915\u093c");
  EXPECT_EQ(NormalizeNfc(""), "");
}

TEST(Unicode, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(ReplaceInvalidUtf8("a\xff\xfe"
                               "b"),
            "a\uFFFD\uFFFDb");
  EXPECT_EQ(ReplaceInvalidUtf8("\u4e2d"), "\u4e2d");
}

}  // namespace
}  // namespace gptvq::unicode
