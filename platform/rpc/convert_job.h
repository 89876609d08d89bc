#ifndef GPTVQ_PLATFORM_RPC_CONVERT_JOB_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_JOB_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "gptvq/v1/job.pb.h"
#include "platform/job/job.h"

namespace gptvq {

// Jobs and their events across the wire. Pure.

v1::JobState ToProto(JobState state);
absl::StatusOr<JobState> FromProto(v1::JobState state);

// A job for people. `progress`, by task id, is that of the tasks being worked on. kSummary leaves the tasks out.
enum class JobDetail { kSummary, kFull };
v1::Job ToProto(const JobSnapshot& job, const std::map<std::string, TaskProgress>& progress, JobDetail detail);

// FromProto(ToProto(x)) == x for every x whose time is in whole microseconds.
// Errors: InvalidArgument (INVALID_FIELD) naming the field.
v1::JobEvent ToProto(const JobEvent& event);
absl::StatusOr<JobEvent> FromProto(const v1::JobEvent& proto);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_JOB_H_
