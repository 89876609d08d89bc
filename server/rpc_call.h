#ifndef GPTVQ_SERVER_RPC_CALL_H_
#define GPTVQ_SERVER_RPC_CALL_H_

#include <chrono>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/status.h"
#include "platform/rpc/limits.h"
#include "platform/rpc/status.h"
#include "server/call_guard.h"
#include "server/coordinator.h"
#include "server/coordinator_metrics.h"
#include "server/grpc_access.h"

namespace gptvq {

// What every method of both services shares. Borrows.
struct ServiceDesk {
  Coordinator& coordinator;
  CoordinatorMetrics& metrics;
  const CallGuard& guard;
};

// What every method of both services does around its own work: looks who calls, refuses until the journal is loaded, measures,
// counts, writes down, and turns the status into gRPC's.
inline grpc::Status HandleCall(std::string_view method, const grpc::ServerContext& context, const ServiceDesk& desk,
                               absl::FunctionRef<absl::Status(Call&)> body) {
  const MonotonicTime begin = desk.coordinator.Now().monotonic;
  absl::StatusOr<Call> begun = desk.guard.Begin(PeerOf(context), method);
  absl::Status status = begun.status();
  Call call = begun.ok() ? *std::move(begun) : Call();
  if (status.ok()) status = desk.coordinator.CheckLoaded();
  if (status.ok()) status = body(call);
  desk.guard.End(method, call, status);
  desk.metrics.CountCall(method, status, desk.coordinator.Now().monotonic - begin);
  return ToGrpcStatus(status);
}

// The same for methods of one request and one answer, which are bound to the limit of control messages: gRPC itself knows
// only the larger one of the data stream.
inline grpc::Status HandleUnaryCall(std::string_view method, const grpc::ServerContext& context,
                                    const google::protobuf::Message& request, const ServiceDesk& desk,
                                    absl::FunctionRef<absl::Status(Call&)> body) {
  return HandleCall(method, context, desk, [&](Call& call) -> absl::Status {
    if (request.ByteSizeLong() > static_cast<std::size_t>(kMaxControlMessageBytes)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("message of ", request.ByteSizeLong(), " bytes; at most ", kMaxControlMessageBytes));
    }
    return body(call);
  });
}

}  // namespace gptvq

#endif  // GPTVQ_SERVER_RPC_CALL_H_
