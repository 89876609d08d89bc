// Garbage that is collected between two steps of a call.
#include <gtest/gtest.h>

#include <functional>

#include "tests/server/service_fixture.h"
#include "tests/support/forwarding_object_store.h"

namespace gptvq {
namespace {

using WorkerStub = v1::WorkerService::Stub;

// Runs something in the middle of looking for an object, or just after one became visible.
class InterruptedObjectStore final : public ForwardingObjectStore {
 public:
  using ForwardingObjectStore::ForwardingObjectStore;

  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override { return CreateResumable(key); }
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override {
    struct File final : ResumableFile {
      File(std::unique_ptr<ResumableFile> file, InterruptedObjectStore& owner) : file(std::move(file)), owner(owner) {}
      absl::Status Append(absl::Span<const std::byte> bytes) override { return file->Append(bytes); }
      absl::Status Close() override {
        const absl::Status closed = file->Close();
        owner.Interrupt();
        return closed;
      }
      absl::StatusOr<std::string> Save() override { return file->Save(); }
      void Discard() override { file->Discard(); }
      std::unique_ptr<ResumableFile> file;
      InterruptedObjectStore& owner;
    };
    auto file = target().CreateResumable(key);
    if (!file.ok()) return file.status();
    return std::make_unique<File>(*std::move(file), *this);
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override {
    auto info = target().Stat(key);
    Interrupt();
    return info;
  }

  void Interrupt() const {
    if (interruption) std::exchange(interruption, nullptr)();
  }

  mutable std::function<void()> interruption;
};

// A service whose first job is over and whose second one makes the same bytes, when garbage is collected.
class GarbageRace : public testing::Test {
 protected:
  void SetUp() override {
    JobSpec spec = AJobSpec();
    spec.shard_layers = 1;
    worker_.emplace(service_);
    const std::string first = SubmitTo(service_, spec);
    ASSERT_TRUE(Run(worker_->Poll()).ok());
    ASSERT_TRUE(service_.coordinator.Record(CancelJob{first}).ok());
    service_.clock.Advance(std::chrono::hours(24));
    worker_.emplace(service_);  // the silent one was forgotten
    SubmitTo(service_, spec, "11111111-d9cb-469f-a165-70867728950e");
    grant_ = worker_->Poll();
  }

  absl::StatusOr<v1::CompleteTaskResponse> Run(const v1::TaskGrant& grant) {
    const absl::Status published = worker_->PublishLayer(grant.lease(), 0, "packed layer 0").status();
    if (!published.ok()) return published;
    EXPECT_TRUE(service_.artifacts.PutArtifact(AsBytes("boundary")).ok());
    return worker_->Complete(grant.lease(), {{}, QuantizeResult{DigestOf("boundary")}});
  }

  void CollectGarbage() {
    const auto artifacts = service_.coordinator.BeginDeletions();
    ASSERT_TRUE(artifacts.ok()) << artifacts.status();
    EXPECT_FALSE(artifacts->empty());
    for (const Digest& artifact : *artifacts) EXPECT_TRUE(service_.artifacts.DeleteArtifact(artifact).ok());
    ASSERT_TRUE(service_.coordinator.EndDeletions(*artifacts, {}).ok());
  }

  ServiceOptions Options() {
    ServiceOptions options;
    options.objects = &objects_;
    return options;
  }

  MemoryObjectStore memory_;
  InterruptedObjectStore objects_{memory_};
  Service service_{Options()};
  std::optional<TestWorker> worker_;
  v1::TaskGrant grant_;
};

TEST_F(GarbageRace, ALayerThatIsDeletedJustAfterItWasStoredIsSentAgain) {
  objects_.interruption = [&] { CollectGarbage(); };

  const auto refused = worker_->PublishLayer(grant_.lease(), 0, "packed layer 0");

  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kArtifactDeleting);
  EXPECT_TRUE(worker_->PublishLayer(grant_.lease(), 0, "packed layer 0").ok());
  EXPECT_TRUE(*service_.artifacts.Contains(DigestOf("packed layer 0")));
}

TEST_F(GarbageRace, ACommitIsRepeatedAfterItsBoundaryWasDeleted) {
  const absl::StatusOr<v1::CompleteTaskResponse> committed = Run(grant_);
  ASSERT_TRUE(committed.ok()) << committed.status();
  ASSERT_TRUE(service_.artifacts.DeleteArtifact(DigestOf("boundary")).ok());

  const auto repeated = worker_->Complete(grant_.lease(), {{}, QuantizeResult{DigestOf("boundary")}});

  ASSERT_TRUE(repeated.ok()) << repeated.status();
  EXPECT_EQ(repeated->acceptance(), v1::CompleteTaskResponse::ACCEPTANCE_ALREADY_COMMITTED);
}

TEST_F(GarbageRace, ABoundaryThatIsDeletedJustAfterItWasFoundIsNotCommitted) {
  ASSERT_TRUE(worker_->PublishLayer(grant_.lease(), 0, "packed layer 0").ok());
  objects_.interruption = [&] { CollectGarbage(); };

  const TaskResult result = {{}, QuantizeResult{DigestOf("boundary")}};
  EXPECT_EQ(ReasonOf(worker_->Complete(grant_.lease(), result).status()), ErrorReason::kArtifactDeleting);
  EXPECT_EQ(ReasonOf(worker_->Complete(grant_.lease(), result).status()), ErrorReason::kOutputMissing);
}

}  // namespace
}  // namespace gptvq
