#include "platform/job_store/store_history.h"

#include <algorithm>
#include <limits>
#include <random>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr char kGeneration[] = "generation";  // these two are decimal; absent: 0
constexpr char kChangeCount[] = "change_count";
constexpr char kPlace[] = "place";

// A generation takes 31 bits of an epoch; steps of up to so many leave room for 65 000 of them on average.
constexpr int kLongestStep = 1 << 16;
constexpr std::int64_t kLastGeneration = std::numeric_limits<std::int32_t>::max();

// What store_info holds under a name; empty if nothing.
absl::StatusOr<std::string> ReadInfo(SqlDatabase& database, std::string_view name) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows,
                         database.Run(SqlStatement("SELECT value FROM store_info WHERE name=$1").Bind(name)));
  return rows.empty() ? "" : rows.front().Bytes();
}

absl::Status WriteInfo(SqlDatabase& database, std::string_view name, std::string value) {
  SqlStatement write(
      "INSERT INTO store_info (name, value) VALUES ($1,$2) ON CONFLICT (name) DO UPDATE SET value = excluded.value");
  return database.Run(write.Bind(name).BindBlob(std::move(value))).status();
}

absl::StatusOr<std::int64_t> ReadNumber(SqlDatabase& database, std::string_view name, std::int64_t greatest) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string text, ReadInfo(database, name));
  if (text.empty()) return 0;
  std::int64_t number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= 0 && number <= greatest) return number;
  return absl::DataLossError(absl::StrCat("the ", std::string(name), " of the journal is '", text, "'"));
}

}  // namespace

absl::StatusOr<std::int64_t> SelectGeneration(SqlDatabase& database) {
  return ReadNumber(database, kGeneration, kLastGeneration);
}

absl::StatusOr<std::int64_t> BeginGeneration(SqlDatabase& database, std::int64_t after) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t current, SelectGeneration(database));
  std::random_device random;
  const std::int64_t next = std::max(current, after) + std::uniform_int_distribution<>(1, kLongestStep)(random);
  if (next > kLastGeneration) return absl::DataLossError("the journal has used up its generations");
  GPTVQ_RETURN_IF_ERROR(WriteInfo(database, kGeneration, absl::StrCat(next)));
  return next;
}

absl::Status NotePlace(SqlDatabase& database, std::string_view place) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string known, ReadInfo(database, kPlace));
  if (known == place) return absl::OkStatus();
  if (!known.empty()) GPTVQ_RETURN_IF_ERROR(BeginGeneration(database, 0).status());
  return WriteInfo(database, kPlace, std::string(place));
}

absl::StatusOr<std::int64_t> SelectChangeCount(SqlDatabase& database) {
  return ReadNumber(database, kChangeCount, std::numeric_limits<std::int64_t>::max());
}

absl::Status WriteChangeCount(SqlDatabase& database, std::int64_t count) {
  return WriteInfo(database, kChangeCount, absl::StrCat(count));
}

}  // namespace gptvq
