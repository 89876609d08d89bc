#include "platform/job_store/high_water_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "platform/rpc/crc32c.h"

namespace gptvq {
namespace {

constexpr std::string_view kMagic = "gptvq-mark 1 ";
constexpr int kDigits = 19;  // of the greatest number
constexpr std::size_t kSummedBytes = kMagic.size() + 2 * (kDigits + 1);
constexpr std::size_t kFileBytes = 64;
static_assert(kFileBytes == kSummedBytes + 8 + 3, "a checksum in hexadecimal, two spaces, end of line");

std::string Encode(const HighWaterMark::Value& value) {
  const std::string summed =
      absl::StrFormat("%s%019d %019d ", std::string(kMagic), value.generation, value.change_count);
  return absl::StrFormat("%s%08x  \n", summed, Crc32c(summed));
}

// Whatever was not written by Encode() is no mark.
std::optional<HighWaterMark::Value> Decode(const std::string& text) {
  HighWaterMark::Value value;
  if (text.size() != kFileBytes || !text.starts_with(kMagic)) return std::nullopt;
  const bool numbers = absl::SimpleAtoi(text.substr(kMagic.size(), kDigits), &value.generation) &&
                       absl::SimpleAtoi(text.substr(kMagic.size() + kDigits + 1, kDigits), &value.change_count);
  return numbers && Encode(value) == text ? std::optional(value) : std::nullopt;
}

std::optional<HighWaterMark::Value> ReadFrom(int file) {
  std::array<char, kFileBytes + 1> bytes{};  // one more, to see what goes on
  const ssize_t size = pread(file, bytes.data(), bytes.size(), 0);
  return size < 0 ? std::nullopt : Decode(std::string(bytes.data(), static_cast<std::size_t>(size)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<HighWaterMark>> HighWaterMark::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0) return std::unique_ptr<HighWaterMark>(new HighWaterMark(file, ReadFrom(file)));
  const std::string message = absl::StrCat(path, ": ", std::strerror(errno));
  if (errno == ENOSPC) return absl::ResourceExhaustedError(message);
  if (errno == EACCES || errno == EPERM || errno == EROFS) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

std::optional<HighWaterMark::Value> HighWaterMark::Read(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  const std::optional<Value> value = ReadFrom(file);
  close(file);
  return value;
}

HighWaterMark::~HighWaterMark() { close(file_); }

void HighWaterMark::Raise(const Value& value) {
  const std::string line = Encode(value);
  // Smaller than a sector and written over itself, so that nobody ever finds half of it.
  (void)!pwrite(file_, line.data(), line.size(), 0);
}

}  // namespace gptvq
