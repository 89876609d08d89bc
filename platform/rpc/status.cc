#include "platform/rpc/status.h"

#include <chrono>
#include <string>

#include "google/protobuf/any.pb.h"
#include "gptvq/v1/error.pb.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/convert_time.h"

namespace gptvq {
namespace {

constexpr char kDomain[] = "gptvq";
constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

// The details have trailing-metadata size limits of 8 KiB on some proxies; messages are cut well below.
constexpr std::size_t kMaxMessageBytes = 2048;

void AddDetail(const char* type_url, const google::protobuf::Message& message, v1::RpcStatus& details) {
  google::protobuf::Any* any = details.add_details();
  any->set_type_url(type_url);
  any->set_value(message.SerializeAsString());
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message(status.message().substr(0, kMaxMessageBytes));
  v1::RpcStatus details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  if (const auto reason = ReasonOf(status)) {
    v1::ErrorInfo info;
    info.set_reason(std::string(Name(*reason)));
    info.set_domain(kDomain);
    AddDetail(kErrorInfoUrl, info, details);
  }
  if (const auto delay = RetryAfter(status)) {
    v1::RetryInfo info;
    *info.mutable_retry_delay() = ToProto(*delay);
    AddDetail(kRetryInfoUrl, info, details);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message, details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  v1::RpcStatus details;
  if (!details.ParseFromString(status.error_details())) return result;
  for (const google::protobuf::Any& any : details.details()) {
    v1::ErrorInfo error;
    v1::RetryInfo retry;
    if (any.type_url() == kErrorInfoUrl && error.ParseFromString(any.value()) && error.domain() == kDomain) {
      // A reason with another code than ours would come from a newer peer: the code wins.
      const auto reason = ParseErrorReason(error.reason());
      if (reason && CodeOf(*reason) == result.code()) {
        const auto delay = RetryAfter(result);
        result = Refuse(*reason, status.error_message());
        if (delay) result = WithRetryAfter(result, *delay);
      }
    } else if (any.type_url() == kRetryInfoUrl && retry.ParseFromString(any.value())) {
      result = WithRetryAfter(result, FromProto(retry.retry_delay()));
    }
  }
  return result;
}

absl::Status FromUncancelledCall(const grpc::Status& status) {
  const absl::Status result = FromGrpcStatus(status);
  if (!absl::IsCancelled(result) || ReasonOf(result)) return result;
  return absl::UnavailableError("the server ended the call before it was taken");
}

}  // namespace gptvq
