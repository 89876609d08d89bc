#ifndef GPTVQ_PLATFORM_RPC_STATUS_H_
#define GPTVQ_PLATFORM_RPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace gptvq {

// Statuses across the wire. Codes have equal numbers on both sides; the reason and the delay of platform/job/error_reason.h
// travel as google.rpc.ErrorInfo and google.rpc.RetryInfo inside a google.rpc.Status (proto/gptvq/v1/error.proto).
// FromGrpcStatus(ToGrpcStatus(s)) keeps code, message, reason and delay. Pure.
grpc::Status ToGrpcStatus(const absl::Status& status);

// Details that cannot be parsed, or that somebody else wrote, are ignored.
absl::Status FromGrpcStatus(const grpc::Status& status);

// The same for a call that this side did not cancel. A gRPC server that shuts down ends calls that no handler has taken yet
// with CANCELLED (grpc/grpc#41785); without a reason of ours that is Unavailable.
absl::Status FromUncancelledCall(const grpc::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_STATUS_H_
