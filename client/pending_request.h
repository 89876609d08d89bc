#ifndef GPTVQ_CLIENT_PENDING_REQUEST_H_
#define GPTVQ_CLIENT_PENDING_REQUEST_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace gptvq {

// The id under which a job is submitted, kept on disk from before the first send until the coordinator has answered. So a
// submit that was cut off can be repeated as it was typed and names the same job instead of starting a second one.
class PendingRequest {
 public:
  // A `request_id` that is not empty is taken, and kept by whoever chose it. Else the id of an unanswered earlier submit
  // of an equal job in `state_dir` is taken, else a new one. `job` is the job in bytes, equal for equal jobs. An empty
  // `state_dir` keeps nothing.
  // Precondition: `request_id` is empty or IsRequestId(). Errors: InvalidArgument for a state directory that can not be
  // written.
  static absl::StatusOr<PendingRequest> Keep(const std::string& state_dir, std::string_view job,
                                             const std::string& request_id);

  const std::string& request_id() const { return request_id_; }

  // The coordinator has answered.
  void Forget();

 private:
  std::string request_id_;
  std::string path_;  // empty: nothing is kept
};

// A random UUID, version 4, in lower case.
std::string NewRequestId();

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_PENDING_REQUEST_H_
