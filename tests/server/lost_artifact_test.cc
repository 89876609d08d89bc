// What a worker says of artifacts that the store has lost.
#include <gtest/gtest.h>

#include "tests/server/service_fixture.h"

namespace gptvq {
namespace {

using WorkerStub = v1::WorkerService::Stub;

// A job whose first shard was done, and whose second one is granted.
class LostArtifact : public testing::Test {
 protected:
  LostArtifact() {
    JobSpec spec = AJobSpec();
    spec.shard_layers = 1;
    SubmitTo(service, spec);
    const v1::TaskGrant first = worker.Poll();
    EXPECT_TRUE(worker.PublishLayer(first.lease(), 0, "packed layer 0").ok());
    EXPECT_TRUE(worker.Complete(first.lease(), {{}, QuantizeResult{boundary}}).ok());
    second = worker.Poll();
    EXPECT_EQ(*FromProto(second.input_boundary()), boundary);
  }

  absl::Status FailNaming(const std::vector<Digest>& artifacts) {
    v1::FailTaskRequest request;
    *request.mutable_lease() = second.lease();
    request.set_failure_class(v1::FAILURE_CLASS_TRANSIENT);
    for (const Digest& artifact : artifacts) *request.add_lost_artifacts() = ToProto(artifact).digest();
    v1::FailTaskResponse response;
    return service.Call(*service.workers, &WorkerStub::FailTask, request, response);
  }

  bool HasLost(int count) {
    const std::string line = "gptvq_coordinator_artifacts_lost_total " + std::to_string(count) + "\n";
    return service.registry.RenderText().find(line) != std::string::npos;
  }

  std::string KeyOfBoundary() const { return ArtifactStore::KeyOf(boundary); }

  Service service;
  TestWorker worker{service};
  const Digest boundary = *service.artifacts.PutArtifact(AsBytes("boundary"));
  v1::TaskGrant second;
};

TEST_F(LostArtifact, ThatIsGoneIsMadeAgain) {
  ASSERT_TRUE(service.objects.Delete(KeyOfBoundary()).ok());

  ASSERT_TRUE(FailNaming({boundary}).ok());
  ASSERT_TRUE(FailNaming({boundary}).ok());  // the answer may have been lost

  const v1::TaskGrant maker = worker.Poll();
  EXPECT_EQ(maker.layers().begin(), 0);
  EXPECT_EQ(maker.published_layers_size(), 1);
  EXPECT_TRUE(HasLost(1));
}

TEST_F(LostArtifact, ThatHasOtherBytesIsMadeAgain) {
  service.objects.Put(KeyOfBoundary(), "boundarY");

  ASSERT_TRUE(FailNaming({boundary}).ok());

  EXPECT_EQ(worker.Poll().layers().begin(), 0);
  EXPECT_TRUE(HasLost(1));
}

TEST_F(LostArtifact, ThatIsThereIsNotBelievedToBeLost) {
  ASSERT_TRUE(FailNaming({boundary}).ok());

  EXPECT_EQ(worker.Poll().kind(), v1::TASK_KIND_EVALUATE);  // the task rests, as after any failure
  EXPECT_TRUE(HasLost(0));
}

TEST_F(LostArtifact, ThatTheTaskDoesNotReadIsNoCause) {
  const Digest layer = DigestOf("packed layer 0");
  ASSERT_TRUE(service.objects.Delete(ArtifactStore::KeyOf(layer)).ok());

  ASSERT_TRUE(FailNaming({layer}).ok());

  EXPECT_EQ(worker.Poll().kind(), v1::TASK_KIND_EVALUATE);
  EXPECT_TRUE(HasLost(0));
}

TEST_F(LostArtifact, TooManyOrMalformedNamesAreRefused) {
  v1::FailTaskRequest malformed;
  *malformed.mutable_lease() = second.lease();
  malformed.add_lost_artifacts()->set_sha256_hex("no digest");
  v1::FailTaskResponse response;

  EXPECT_EQ(ReasonOf(FailNaming(std::vector<Digest>(1000, boundary))), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(service.Call(*service.workers, &WorkerStub::FailTask, malformed, response)),
            ErrorReason::kInvalidField);
}

}  // namespace
}  // namespace gptvq
