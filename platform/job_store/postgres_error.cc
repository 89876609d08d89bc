#include "platform/job_store/postgres_error.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

constexpr char kCredentialsRemedy[] =
    "; check the user, PGPASSFILE (or ~/.pgpass) and pg_hba.conf of the server (docs/postgresql.md)";
constexpr char kGrantRemedy[] = "; the role must own the schema gptvq or be allowed to create it (docs/postgresql.md)";
constexpr char kDatabaseRemedy[] = "; make the database first (docs/postgresql.md)";

bool Holds(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

absl::Status PostgresError(std::string_view sqlstate, std::string_view message) {
  const std::string text = absl::StrCat(std::string(message), " (SQLSTATE ", std::string(sqlstate), ")");
  const std::string_view error_class = sqlstate.substr(0, 2);
  if (sqlstate == "23505") return absl::AlreadyExistsError(text);
  if (sqlstate == "42501") return absl::PermissionDeniedError(text + kGrantRemedy);
  if (sqlstate == "3D000") return absl::NotFoundError(text + kDatabaseRemedy);
  if (sqlstate == "XX001" || sqlstate == "XX002" || sqlstate == "22P03") return absl::DataLossError(text);
  if (sqlstate == "55P03" || sqlstate == "25006") return absl::UnavailableError(text);
  if (error_class == "28") return absl::PermissionDeniedError(text + kCredentialsRemedy);
  if (error_class == "53") return absl::ResourceExhaustedError(text);
  constexpr std::array<std::string_view, 4> kPassing = {"08", "40", "57", "58"};
  if (std::find(kPassing.begin(), kPassing.end(), error_class) != kPassing.end()) return absl::UnavailableError(text);
  return absl::InternalError(text);
}

bool IsPostgresConflict(std::string_view sqlstate) { return sqlstate == "40001" || sqlstate == "40P01"; }

absl::Status PostgresConnectError(std::string_view message) {
  const std::string text(absl::StripAsciiWhitespace(absl::string_view(message.data(), message.size())));
  if (Holds(text, "authentication failed") || Holds(text, "no pg_hba.conf entry") ||
      Holds(text, "no password supplied") || Holds(text, "not permitted to log in") ||
      (Holds(text, "role \"") && Holds(text, "does not exist"))) {
    return absl::PermissionDeniedError(text + kCredentialsRemedy);
  }
  if (Holds(text, "database \"") && Holds(text, "does not exist")) return absl::NotFoundError(text + kDatabaseRemedy);
  if (Holds(text, "too many clients") || Holds(text, "remaining connection slots")) {
    return absl::ResourceExhaustedError(text);
  }
  return absl::UnavailableError(text);
}

}  // namespace gptvq
