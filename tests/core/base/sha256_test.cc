#include "core/base/sha256.h"

#include <string>

#include "core/base/file.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

// Published examples: FIPS 180-4 / NIST CSRC "SHA-256 examples", and the NIST long-message test.
TEST(Sha256, MatchesThePublishedVectors) {
  EXPECT_EQ(Digest::Of(AsBytes("")).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Digest::Of(AsBytes("abc")).hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Digest::Of(AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Digest::Of(AsBytes(std::string(1000000, 'a'))).hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheDigestOfTheWhole) {
  const std::string text = std::string(200, 'x') + "tail";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 sha256;
    sha256.Update(AsBytes(std::string_view(text).substr(0, cut)));
    sha256.Update(AsBytes(std::string_view(text).substr(cut)));
    EXPECT_EQ(sha256.Finish(), Digest::Of(AsBytes(text))) << cut;
  }
}

TEST(Sha256, GoesOnFromTheStateBetweenTwoBlocks) {
  const std::string text = std::string(5 * Sha256::kBlockBytes, 'y') + "tail";
  for (std::size_t blocks = 0; blocks <= 5; ++blocks) {
    Sha256 before;
    before.Update(AsBytes(std::string_view(text).substr(0, blocks * Sha256::kBlockBytes)));

    Sha256 after(before.midstate());
    after.Update(AsBytes(std::string_view(text).substr(blocks * Sha256::kBlockBytes)));

    EXPECT_EQ(after.Finish(), Digest::Of(AsBytes(text))) << blocks;
  }
}

TEST(Digest, IsNotBuiltFromMalformedText) {
  const std::string good = Digest::Of(AsBytes("abc")).hex();
  EXPECT_EQ(Digest::FromHex(good, 3).value(), Digest::Of(AsBytes("abc")));
  EXPECT_FALSE(Digest::FromHex(good.substr(1), 3).ok());
  EXPECT_FALSE(Digest::FromHex("G" + good.substr(1), 3).ok());
  EXPECT_FALSE(Digest::FromHex("A" + good.substr(1), 3).ok());
}

}  // namespace
}  // namespace gptvq
