#include "client/terminal.h"

#include <sstream>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(Printable, LeavesTextOfAnyScriptAsItIs) {
  const std::string text = "file:///modèles/模型 \xF0\x9F\x99\x82 'a' \\x1b";

  EXPECT_EQ(Printable(text), text);
}

TEST(Printable, ReplacesEveryAsciiControlCharacter) {
  for (int byte = 0; byte < 0x80; ++byte) {
    const std::string text = {'a', static_cast<char>(byte), 'b'};
    const bool is_control = byte < 0x20 || byte == 0x7f;

    EXPECT_EQ(Printable(text), is_control ? "a?b" : text) << byte;
  }
}

TEST(Printable, ReplacesC1ControlsWhichTerminalsObeyToo) {
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31mred"),
            "?31mred");                                                // U+009B, the one-character CSI
  EXPECT_EQ(Printable("a\xC2\x80\xC2\x9F\xC2\xA0z"), "a??\xC2\xA0z");  // U+0080, U+009F; U+00A0 is a space
}

TEST(Printable, ReplacesMarksThatReorderText) {
  EXPECT_EQ(Printable("safe\xE2\x80\xAEtxt.exe"), "safe?txt.exe");  // U+202E
  EXPECT_EQ(Printable("\xE2\x81\xA6x\xE2\x81\xA9"), "?x?");         // U+2066, U+2069
  EXPECT_EQ(Printable("a\xE2\x80\xA8"
                      "b"),
            "a?b");  // U+2028, line separator
}

TEST(Printable, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(Printable("\x9B"
                      "31m"),
            "\xEF\xBF\xBD"
            "31m");  // a lone CSI byte, as an 8-bit terminal takes it
}

TEST(Printable, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(Printable("abcdef", 6), "abcdef");
  EXPECT_EQ(Printable("abcdefg", 6), "abcdef...");
  EXPECT_EQ(Printable("abcd\xE6\xA8\xA1z", 6), "abcd...");  // the cut falls into U+6A21
}

TEST(Fail, PrintsTheMessageWithoutItsControlCharactersAndReturnsTheCode) {
  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal{out, err};

  const ExitCode code = Fail(terminal, absl::NotFoundError("no job '\033]0;title\007'\nall good"));

  EXPECT_EQ(code, ExitCode::kNotFound);
  EXPECT_EQ(err.str(), "error: no job '?]0;title?'?all good\n");
  EXPECT_EQ(out.str(), "");
}

TEST(Fail, ColoursTheWordErrorOnlyWhenAsked) {
  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal{out, err, Liveliness::kAnimated, /*colour=*/true};

  Fail(terminal, absl::InternalError("x"));

  EXPECT_EQ(err.str(), "\033[31merror:\033[0m x\n");
}

TEST(Fail, CutsAMessageThatNobodyReads) {
  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal{out, err};

  Fail(terminal, absl::InternalError(std::string(1 << 20, 'x')));

  EXPECT_LT(err.str().size(), 5000u);
}

}  // namespace
}  // namespace gptvq
