#ifndef GPTVQ_PLATFORM_JOB_STORE_POSTGRES_ERROR_H_
#define GPTVQ_PLATFORM_JOB_STORE_POSTGRES_ERROR_H_

#include <string_view>

#include "absl/status/status.h"

namespace gptvq {

// What an error of a PostgreSQL server means to the job store. Pure.
//
// `sqlstate` is the code of five characters (appendix A of PostgreSQL's manual), `message` what the server says of it; no
// value of a row is in its primary message. 23505 is AlreadyExists; 53 (disk, memory, connections) ResourceExhausted; 08, 57 and
// what passes by itself (40, 55P03, 25006) Unavailable; 28 and 42501 PermissionDenied, with a remedy; 3D000 NotFound, with a
// remedy; XX001, XX002 and 22P03 DataLoss; the rest Internal: a statement or a schema that is wrong.
absl::Status PostgresError(std::string_view sqlstate, std::string_view message);

// True for a transaction that the server undid for the sake of another one: the same once more may succeed.
bool IsPostgresConflict(std::string_view sqlstate);

// The same for a connection that was not made, of which libpq tells only the text. What it does not know is Unavailable: a
// server with messages in another language than English loses no more than the remedy.
absl::Status PostgresConnectError(std::string_view message);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_POSTGRES_ERROR_H_
