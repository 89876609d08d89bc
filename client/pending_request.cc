#include "client/pending_request.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "client/terminal.h"
#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "platform/job/request_id.h"

namespace gptvq {
namespace {

constexpr std::size_t kUuidBytes = 36;

}  // namespace

std::string NewRequestId() {
  std::random_device device;
  std::string id;
  for (std::size_t i = 0; i < kUuidBytes; ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      id += '-';
    } else {
      const unsigned nibble = device() & 15u;
      id += "0123456789abcdef"[i == 14 ? 4 : i == 19 ? 8 + (nibble & 3u) : nibble];
    }
  }
  return id;
}

absl::StatusOr<PendingRequest> PendingRequest::Keep(const std::string& state_dir, std::string_view job,
                                                    const std::string& request_id) {
  GPTVQ_CHECK(request_id.empty() || IsRequestId(request_id));
  PendingRequest pending;
  pending.request_id_ = request_id.empty() ? NewRequestId() : request_id;
  if (state_dir.empty() || !request_id.empty()) return pending;

  std::error_code error;
  std::filesystem::create_directories(state_dir, error);
  pending.path_ = absl::StrCat(state_dir, "/submit-", Digest::Of(AsBytes(job)).hex());
  std::string kept;
  if (std::getline(std::ifstream(pending.path_), kept) && IsRequestId(kept)) {
    pending.request_id_ = kept;
    return pending;
  }
  const std::string temporary = absl::StrCat(pending.path_, ".", pending.request_id_);
  std::ofstream stream(temporary);
  stream << pending.request_id_ << "\n" << std::flush;
  if (stream.good()) std::filesystem::rename(temporary, pending.path_, error);
  if (!stream.good() || error) {
    return absl::InvalidArgumentError(absl::StrCat("can not keep the request id in '", Printable(state_dir),
                                                   "'; make it writable or name another with --state-dir"));
  }
  return pending;
}

void PendingRequest::Forget() {
  std::error_code ignored;  // a file that stays only makes the next equal submit name this job
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

}  // namespace gptvq
