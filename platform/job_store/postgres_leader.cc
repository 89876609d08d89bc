#include "platform/job_store/postgres_leader.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

// Renewals to a ttl: two of them may fail.
constexpr int kRenewalsPerTtl = 4;

// "name (16 bytes at random)"
std::string DrawHolder(const std::string& name) {
  std::random_device random;
  std::string holder = name + " (";
  for (int i = 0; i < 4; ++i) absl::StrAppend(&holder, absl::Hex(std::uint32_t{random()}, absl::kZeroPad8));
  return holder + ")";
}

absl::Status Deposed(std::int64_t term) {
  return absl::AbortedError(absl::StrCat("term ", term, " of this coordinator is over: another one leads"));
}

}  // namespace

PostgresLeader::PostgresLeader(const Options& options, Clock& clock)
    : options_(options),
      holder_(DrawHolder(options.name)),
      clock_(clock),
      renewer_([this](std::stop_token stop) { RunRenewals(stop); }) {}

PostgresLeader::~PostgresLeader() = default;

absl::Status PostgresLeader::Lead(PostgresConnection& connection) {
  const MonotonicTime asked = clock_.MonotonicNow();
  // By holder and not by term, so that a repetition finds what a lost answer began.
  SqlStatement take(
      "UPDATE leader SET term = CASE WHEN holder=$1 THEN term ELSE term + 1 END, holder=$2, "
      "expire_time = clock_timestamp() + $3 * interval '1 millisecond' "
      "WHERE holder=$4 OR expire_time < clock_timestamp() RETURNING term");
  take.Bind(holder_).Bind(holder_).Bind(options_.term_ttl.count()).Bind(holder_);
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, connection.Run(take));
  if (rows.empty()) return NotLeading(connection);
  const std::lock_guard lock(mutex_);
  term_ = rows.front().Integer();
  valid_until_ = asked + options_.term_ttl;
  return absl::OkStatus();
}

absl::StatusOr<std::int64_t> PostgresLeader::CountAppend(PostgresConnection& connection) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t term, CurrentTerm());
  SqlStatement count("UPDATE leader SET append_count = append_count + 1 WHERE term=$1 RETURNING append_count");
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, connection.Run(count.Bind(term)));
  if (!rows.empty()) return rows.front().Integer();
  EndTerm("another one took over");
  return Deposed(term);
}

absl::StatusOr<bool> PostgresLeader::WasAppended(PostgresConnection& connection, std::int64_t count) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t term, CurrentTerm());
  SqlStatement read("SELECT append_count FROM leader WHERE term=$1 FOR UPDATE");
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, connection.Run(read.Bind(term)));
  if (!rows.empty()) return rows.front().Integer() >= count;
  EndTerm("another one took over");
  return Deposed(term);
}

absl::Status PostgresLeader::Check() const {
  const std::lock_guard lock(mutex_);
  if (term_ && clock_.MonotonicNow() < valid_until_) return absl::OkStatus();
  const std::string why = term_ ? "its database did not confirm in time that it leads" : why_not_;
  return Refuse(ErrorReason::kNotLeading, absl::StrCat("this coordinator stands by: ", why));
}

void PostgresLeader::Resign(PostgresConnection& connection) {
  renewer_.request_stop();
  renewer_.join();  // a renewal after the end would bring the term back
  const absl::StatusOr<std::int64_t> term = CurrentTerm();
  if (!term.ok()) return;
  EndTerm("it resigned");
  SqlStatement resign("UPDATE leader SET expire_time = '-infinity' WHERE term=$1");
  connection.Run(resign.Bind(*term)).status().IgnoreError();  // else the term ends by itself
}

absl::StatusOr<std::int64_t> PostgresLeader::CurrentTerm() const {
  const std::lock_guard lock(mutex_);
  if (term_) return *term_;
  return Refuse(ErrorReason::kNotLeading, absl::StrCat("this coordinator stands by: ", why_not_));
}

absl::Status PostgresLeader::NotLeading(PostgresConnection& connection) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, connection.Run(SqlStatement("SELECT term, holder FROM leader")));
  if (rows.empty()) return absl::DataLossError("the table leader has lost its row");
  const std::int64_t term = rows.front().Integer();
  EndTerm(absl::StrCat("the one at ", rows.front().Bytes(), " leads, term ", term));
  return Check();
}

void PostgresLeader::EndTerm(std::string why) {
  const std::lock_guard lock(mutex_);
  term_.reset();
  why_not_ = std::move(why);
}

void PostgresLeader::RunRenewals(std::stop_token stop) {
  while (!stop.stop_requested()) {
    clock_.Sleep(options_.term_ttl / kRenewalsPerTtl, stop);
    if (stop.stop_requested() || !CurrentTerm().ok()) continue;
    if (renewals_ == nullptr || !renewals_->usable()) {
      auto connection = PostgresConnection::Connect(options_.uri, options_.timeouts);
      if (!connection.ok()) continue;  // the next round tries again; Check() counts the time
      renewals_ = *std::move(connection);
    }
    Renew(*renewals_).IgnoreError();
  }
}

absl::Status PostgresLeader::Renew(PostgresConnection& connection) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t term, CurrentTerm());
  const MonotonicTime asked = clock_.MonotonicNow();
  SqlStatement renew(
      "UPDATE leader SET expire_time = clock_timestamp() + $1 * interval '1 millisecond' WHERE term=$2 RETURNING term");
  GPTVQ_ASSIGN_OR_RETURN(const SqlRows rows, connection.Run(renew.Bind(options_.term_ttl.count()).Bind(term)));
  if (rows.empty()) {
    EndTerm("another one took over");
    return Deposed(term);
  }
  const std::lock_guard lock(mutex_);
  if (term_ == term) valid_until_ = std::max(valid_until_, asked + options_.term_ttl);
  return absl::OkStatus();
}

}  // namespace gptvq
