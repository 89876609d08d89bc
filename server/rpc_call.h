#ifndef GPTVQ_SERVER_RPC_CALL_H_
#define GPTVQ_SERVER_RPC_CALL_H_

#include <chrono>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/status.h"
#include "platform/rpc/limits.h"
#include "platform/rpc/status.h"
#include "server/coordinator.h"
#include "server/coordinator_metrics.h"

namespace gptvq {

// What every method of both services does around its own work: measures, counts, and turns the status into gRPC's.
inline grpc::Status HandleCall(std::string_view method, Coordinator& coordinator, CoordinatorMetrics& metrics,
                               absl::FunctionRef<absl::Status()> body) {
  const MonotonicTime begin = coordinator.Now().monotonic;
  const absl::Status status = body();
  metrics.CountCall(method, status, coordinator.Now().monotonic - begin);
  return ToGrpcStatus(status);
}

// The same for methods of one request and one answer, which are bound to the limit of control messages: gRPC itself knows
// only the larger one of the data stream.
inline grpc::Status HandleUnaryCall(std::string_view method, const google::protobuf::Message& request,
                                    Coordinator& coordinator, CoordinatorMetrics& metrics,
                                    absl::FunctionRef<absl::Status()> body) {
  return HandleCall(method, coordinator, metrics, [&]() -> absl::Status {
    if (request.ByteSizeLong() > static_cast<std::size_t>(kMaxControlMessageBytes)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("message of ", request.ByteSizeLong(), " bytes; at most ", kMaxControlMessageBytes));
    }
    return body();
  });
}

}  // namespace gptvq

#endif  // GPTVQ_SERVER_RPC_CALL_H_
