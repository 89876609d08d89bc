#include "platform/secret_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <sstream>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "platform/log.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
template <typename T>
concept Joinable = requires(const T& value) {
  absl::StrCat(value);
};

// What a logger, a message or a comparison takes; a secret is none of it.
static_assert(Printable<std::string> && !Printable<Secret>);
static_assert(Joinable<std::string> && !Joinable<Secret>);
static_assert(std::is_constructible_v<LogField, const char*, std::string>);
static_assert(!std::is_constructible_v<LogField, const char*, Secret>);
static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<std::string, Secret>);

class SecretFile : public testing::Test {
 protected:
  std::string Make(std::string_view contents, mode_t mode = 0600) {
    directory_.WriteFile("secret", contents);
    EXPECT_EQ(chmod(directory_.Join("secret").c_str(), mode), 0);
    return directory_.Join("secret");
  }

  const TemporaryDirectory directory_;
};

TEST_F(SecretFile, IsReadWithoutTheSpacesAtItsEnd) {
  const absl::StatusOr<Secret> secret = ReadSecretFile(Make("open sesame \r\n"));

  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ(secret->Reveal(), "open sesame");
}

TEST_F(SecretFile, IsRefusedWhenEverybodyMayReadItAndTheErrorSaysWhatToDo) {
  const std::string path = Make("open sesame", 0644);

  const absl::Status status = ReadSecretFile(path).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(status.message().find("chmod 600 " + path), std::string::npos);
  EXPECT_EQ(status.message().find("sesame"), std::string::npos);
  EXPECT_TRUE(ReadSecretFile(Make("open sesame", 0640)).ok());
}

TEST_F(SecretFile, IsRefusedWhenThereIsNoSecretInIt) {
  EXPECT_EQ(ReadSecretFile(directory_.Join("nothing")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadSecretFile(Make(" \n")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadSecretFile(directory_.path()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadSecretFile(Make(std::string(65 << 10, 'x'))).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(mkfifo(directory_.Join("pipe").c_str(), 0600), 0);
  EXPECT_EQ(ReadSecretFile(directory_.Join("pipe")).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Secret, ComparesTextsOfEqualLengthToTheEnd) {
  EXPECT_TRUE(EqualInConstantTime("abc", "abc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualInConstantTime("abc", "xbc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "ab"));
  EXPECT_TRUE(EqualInConstantTime("", ""));
}

}  // namespace
}  // namespace gptvq
