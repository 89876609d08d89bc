#include "platform/rpc/status.h"

#include <gtest/gtest.h>

#include <string>

#include "gptvq/v1/error.pb.h"
#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

TEST(RpcStatus, EveryReasonSurvivesTheWireWithItsCodeAndMessage) {
  for (ErrorReason reason : kAllErrorReasons) {
    const absl::Status back = FromGrpcStatus(ToGrpcStatus(Refuse(reason, "why it was refused")));

    EXPECT_EQ(back.code(), CodeOf(reason)) << Name(reason);
    EXPECT_EQ(back.message(), "why it was refused");
    EXPECT_EQ(ReasonOf(back), reason);
    EXPECT_EQ(RetryAfter(back), std::nullopt);
  }
}

TEST(RpcStatus, TheDelaySurvivesTheWireWithAndWithoutAReason) {
  using std::chrono::milliseconds;
  const absl::Status refusal = WithRetryAfter(Refuse(ErrorReason::kTooManyUploads, "busy"), milliseconds(1500));
  const absl::Status plain = WithRetryAfter(absl::UnavailableError("away"), milliseconds(20));

  EXPECT_EQ(RetryAfter(FromGrpcStatus(ToGrpcStatus(refusal))), milliseconds(1500));
  EXPECT_EQ(ReasonOf(FromGrpcStatus(ToGrpcStatus(refusal))), ErrorReason::kTooManyUploads);
  EXPECT_EQ(RetryAfter(FromGrpcStatus(ToGrpcStatus(plain))), milliseconds(20));
}

TEST(RpcStatus, OkStaysOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(RpcStatus, DetailsOfStrangersAreIgnored) {
  const grpc::Status garbage(grpc::StatusCode::NOT_FOUND, "gone", "\xff\xff not a message");
  v1::RpcStatus foreign;
  v1::ErrorInfo info;
  info.set_reason("STALE_EPOCH");
  info.set_domain("example.com");
  foreign.add_details()->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  foreign.mutable_details(0)->set_value(info.SerializeAsString());

  EXPECT_EQ(FromGrpcStatus(garbage), absl::NotFoundError("gone"));
  EXPECT_EQ(
      ReasonOf(FromGrpcStatus(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "m", foreign.SerializeAsString()))),
      std::nullopt);
}

TEST(RpcStatus, AReasonNeverChangesTheCode) {
  grpc::Status status = ToGrpcStatus(Refuse(ErrorReason::kStaleEpoch, "old"));
  const grpc::Status other(grpc::StatusCode::INTERNAL, "old", status.error_details());

  EXPECT_EQ(FromGrpcStatus(other).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ReasonOf(FromGrpcStatus(other)), std::nullopt);
}

TEST(RpcStatus, CancellationByAServerThatShutsDownIsUnavailable) {
  const grpc::Status by_the_server(grpc::StatusCode::CANCELLED, "CANCELLED");
  const grpc::Status refusal = ToGrpcStatus(Refuse(ErrorReason::kJobCancelled, "the job was cancelled"));
  const grpc::Status other(grpc::StatusCode::NOT_FOUND, "no such job");

  EXPECT_EQ(FromUncancelledCall(by_the_server).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(FromUncancelledCall(refusal)), ErrorReason::kJobCancelled);
  EXPECT_EQ(FromUncancelledCall(other), absl::NotFoundError("no such job"));
  EXPECT_TRUE(FromUncancelledCall(grpc::Status::OK).ok());
}

TEST(RpcStatus, LongMessagesAreCutSoThatTheTrailerFits) {
  const grpc::Status status = ToGrpcStatus(absl::InternalError(std::string(100'000, 'x')));

  EXPECT_LE(status.error_message().size() + status.error_details().size(), 8u << 10);
}

}  // namespace
}  // namespace gptvq
