// PublishLayer and QueryUpload: layers on their way to the coordinator.

#include "server/worker_service.h"

#include <gtest/gtest.h>

#include <future>

#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "tests/server/service_fixture.h"

namespace gptvq {
namespace {

TEST(PublishLayerCall, TakesALayerInManyChunksAndStoresItUnderItsDigest) {
  Service service;
  SubmitTo(service);
  TestWorker worker(service);
  const v1::TaskGrant grant = worker.Poll();
  std::string bytes;
  for (int i = 0; i < 2'500'000; ++i) bytes += static_cast<char>(i * 31 >> 3);
  std::vector<v1::PublishLayerRequest> messages = {TestWorker::Header(grant.lease(), 0, bytes)};
  for (std::size_t offset = 0; offset < bytes.size(); offset += 1 << 20) {
    messages.push_back(TestWorker::Chunk(offset, bytes.substr(offset, 1 << 20)));
  }

  const auto published = worker.Publish(messages);
  const auto again = worker.Publish(messages);

  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->acceptance(), v1::PublishLayerResponse::ACCEPTANCE_PUBLISHED);
  EXPECT_EQ(again->acceptance(), v1::PublishLayerResponse::ACCEPTANCE_ALREADY_PUBLISHED);
  const auto stored = service.artifacts.OpenArtifact(DigestOf(bytes));
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(*ReadWholeFile(**stored, 1 << 30), bytes);
}

TEST(PublishLayerCall, DamagedStreamsLeaveNothingBehind) {
  Service service;
  SubmitTo(service);
  TestWorker worker(service);
  const v1::Lease lease = worker.Poll().lease();
  const std::string bytes = "packed layer";
  const v1::PublishLayerRequest header = TestWorker::Header(lease, 0, bytes);
  v1::PublishLayerRequest bad_crc = TestWorker::Chunk(0, bytes);
  bad_crc.mutable_chunk()->set_crc32c(1);
  const auto reason = [&](const std::vector<v1::PublishLayerRequest>& messages) {
    return ReasonOf(worker.Publish(messages).status());
  };

  EXPECT_EQ(reason({header, bad_crc}), ErrorReason::kChecksumMismatch);
  EXPECT_EQ(reason({header, TestWorker::Chunk(0, "packed lAyer")}), ErrorReason::kDigestMismatch);
  EXPECT_EQ(reason({header, TestWorker::Chunk(1, bytes)}), ErrorReason::kChunkOutOfOrder);
  EXPECT_EQ(reason({header, TestWorker::Chunk(0, "packed"), TestWorker::Chunk(5, "d layer")}),
            ErrorReason::kChunkOutOfOrder);
  EXPECT_EQ(reason({header, TestWorker::Chunk(0, bytes + "!")}), ErrorReason::kChunkOutOfOrder);
  EXPECT_EQ(reason({header, TestWorker::Chunk(0, "packed")}), ErrorReason::kChunkOutOfOrder);
  EXPECT_EQ(reason({header, TestWorker::Chunk(0, "")}), ErrorReason::kInvalidField);
  EXPECT_EQ(reason({header, TestWorker::Chunk(0, std::string((1 << 20) + 1, 'x'))}), ErrorReason::kInvalidField);
  EXPECT_EQ(reason({header, header}), ErrorReason::kInvalidField);
  EXPECT_EQ(reason({TestWorker::Chunk(0, bytes)}), ErrorReason::kInvalidField);
  EXPECT_EQ(reason({}), ErrorReason::kInvalidField);
  EXPECT_EQ(reason({TestWorker::Header(lease, 0, "")}), ErrorReason::kInvalidField);
  EXPECT_TRUE(service.objects.List("", ListScope::kRecursive)->empty());
  EXPECT_EQ(service.coordinator.store().ReadLayers(JobIdFor(kRequestId))->size(), 0u);
}

// Layers of four chunks and a bit, whose upload is cut.
class CutUpload : public testing::Test {
 protected:
  static constexpr std::size_t kChunk = 1 << 20;

  CutUpload() {
    SubmitTo(service_, WithoutEvaluation());
    lease_ = worker_->Poll().lease();
    for (std::size_t i = 0; i < 4 * kChunk + 10; ++i) bytes_ += static_cast<char>(i * 31 >> 3);
  }

  v1::PublishLayerRequest HeaderAt(std::uint64_t first_offset) {
    v1::PublishLayerRequest header = TestWorker::Header(lease_, 0, bytes_);
    header.mutable_header()->set_first_offset(first_offset);
    return header;
  }

  // Sends some chunks and is gone.
  void SendAndVanish(std::uint64_t first_offset, int chunks) {
    grpc::ClientContext context;
    v1::PublishLayerResponse response;
    const auto writer = service_.workers->PublishLayer(&context, &response);
    ASSERT_TRUE(writer->Write(HeaderAt(first_offset)));
    for (std::size_t offset = first_offset; offset < first_offset + chunks * kChunk; offset += kChunk) {
      ASSERT_TRUE(writer->Write(TestWorker::Chunk(offset, bytes_.substr(offset, kChunk))));
      received_ += kChunk;
    }
    const std::string shown = "published_bytes_total " + std::to_string(received_) + "\n";
    while (service_.registry.RenderText().find(shown) == std::string::npos) std::this_thread::yield();
    context.TryCancel();
    EXPECT_FALSE(writer->Finish().ok());
  }

  absl::StatusOr<std::uint64_t> Query() {
    v1::QueryUploadRequest request;
    *request.mutable_lease() = lease_;
    *request.mutable_digest() = HeaderAt(0).header().digest();
    v1::QueryUploadResponse response;
    const absl::Status status =
        service_.Call(*service_.workers, &v1::WorkerService::Stub::QueryUpload, request, response);
    if (!status.ok()) return status;
    return response.received_bytes();
  }

  absl::StatusOr<v1::PublishLayerResponse> SendFrom(std::uint64_t first_offset) {
    std::vector<v1::PublishLayerRequest> messages = {HeaderAt(first_offset)};
    for (std::size_t offset = first_offset; offset < bytes_.size(); offset += kChunk) {
      messages.push_back(TestWorker::Chunk(offset, bytes_.substr(offset, kChunk)));
    }
    return worker_->Publish(messages);
  }

  Service service_;
  std::optional<TestWorker> worker_{service_};
  v1::Lease lease_;
  std::string bytes_;
  std::size_t received_ = 0;  // by the service, in all
};

TEST_F(CutUpload, GoesOnWhereItEndedAsOftenAsItIsCut) {
  EXPECT_EQ(*Query(), 0u);
  SendAndVanish(0, 1);
  EXPECT_EQ(*Query(), kChunk);
  SendAndVanish(kChunk, 2);
  EXPECT_EQ(*Query(), 3 * kChunk);

  const auto published = SendFrom(3 * kChunk);

  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->acceptance(), v1::PublishLayerResponse::ACCEPTANCE_PUBLISHED);
  EXPECT_TRUE(service_.artifacts.OpenArtifact(DigestOf(bytes_)).ok());
  EXPECT_EQ(*Query(), bytes_.size()) << "nothing is left to send";
  EXPECT_EQ(SendFrom(bytes_.size())->acceptance(), v1::PublishLayerResponse::ACCEPTANCE_ALREADY_PUBLISHED);
}

TEST_F(CutUpload, BeginsAnewForAWorkerThatKnowsNoOffsets) {
  SendAndVanish(0, 3);

  const auto published = SendFrom(0);

  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_TRUE(service_.artifacts.OpenArtifact(DigestOf(bytes_)).ok());
}

TEST_F(CutUpload, AnOffsetAtWhichNothingWasLeftIsRefused) {
  EXPECT_EQ(ReasonOf(SendFrom(kChunk).status()), ErrorReason::kChunkOutOfOrder);
  EXPECT_EQ(ReasonOf(SendFrom(bytes_.size()).status()), ErrorReason::kChunkOutOfOrder);
  SendAndVanish(0, 2);
  ASSERT_EQ(*Query(), 2 * kChunk);
  EXPECT_EQ(ReasonOf(SendFrom(kChunk).status()), ErrorReason::kChunkOutOfOrder);
  EXPECT_TRUE(SendFrom(0).ok());
}

TEST_F(CutUpload, IsDroppedAfterAMinute) {
  SendAndVanish(0, 2);
  ASSERT_EQ(*Query(), 2 * kChunk);

  while (*Query() > 0) {
    service_.clock.Advance(std::chrono::seconds(10));
    ASSERT_TRUE(service_.coordinator.Record(RenewLease{*FromProto(lease_), {}}).ok());
  }

  EXPECT_TRUE(SendFrom(0).ok());
}

TEST_F(CutUpload, DiesWithItsLease) {
  SendAndVanish(0, 2);
  ASSERT_TRUE(worker_->Release(lease_).ok());
  EXPECT_FALSE(Query().ok());

  const v1::Lease earlier = std::exchange(lease_, worker_->Poll().lease());
  ASSERT_EQ(lease_.task_id(), earlier.task_id());

  EXPECT_EQ(*Query(), 0u);
  EXPECT_EQ(ReasonOf(SendFrom(2 * kChunk).status()), ErrorReason::kChunkOutOfOrder);
}

// Layers of two saved parts and a bit.
class SavedUpload : public CutUpload {
 protected:
  SavedUpload() {
    while (bytes_.size() < 2 * kSavedPartBytes + kChunk) bytes_ += bytes_;
  }

  // As the end of the process would: a minute later nothing is parked any more.
  void WaitUntilForgotten() {
    while (*Query() % kSavedPartBytes != 0) {
      service_.clock.Advance(std::chrono::seconds(10));
      ASSERT_TRUE(service_.coordinator.Record(RenewLease{*FromProto(lease_), {}}).ok());
    }
  }
};

TEST_F(SavedUpload, GoesOnBehindItsLastPartWhenNothingIsParked) {
  SendAndVanish(0, 17);
  ASSERT_EQ(*Query(), 17 * kChunk);
  WaitUntilForgotten();

  EXPECT_EQ(*Query(), 2 * kSavedPartBytes);
  const auto published = SendFrom(2 * kSavedPartBytes);

  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_TRUE(service_.artifacts.OpenArtifact(DigestOf(bytes_)).ok());
  EXPECT_EQ(service_.objects.List("", ListScope::kRecursive)->size(), 1u) << "the record is gone";
  EXPECT_EQ(service_.objects.saved_count(), 0u);
}

TEST_F(SavedUpload, IsFreedWhenItBeginsAnewOrLosesItsLease) {
  SendAndVanish(0, 9);
  ASSERT_EQ(*Query(), 9 * kChunk);
  ASSERT_EQ(service_.objects.saved_count(), 1u);
  SendAndVanish(0, 1);
  ASSERT_EQ(*Query(), kChunk);
  EXPECT_EQ(service_.objects.saved_count(), 0u);

  SendAndVanish(kChunk, 7);
  ASSERT_EQ(*Query(), kSavedPartBytes);
  grpc::ClientContext context;
  v1::PublishLayerResponse response;
  const auto writer = service_.workers->PublishLayer(&context, &response);
  ASSERT_TRUE(writer->Write(HeaderAt(kSavedPartBytes)));
  while (service_.registry.RenderText().find("gptvq_coordinator_uploads 1") == std::string::npos) {
    std::this_thread::yield();
  }
  ASSERT_TRUE(worker_->Release(lease_).ok());
  for (std::size_t offset = kSavedPartBytes; offset < bytes_.size(); offset += kChunk) {
    if (!writer->Write(TestWorker::Chunk(offset, bytes_.substr(offset, kChunk)))) break;
  }
  writer->WritesDone();

  EXPECT_EQ(ReasonOf(FromGrpcStatus(writer->Finish())), ErrorReason::kNotHeld);
  EXPECT_EQ(service_.objects.saved_count(), 0u);
}

TEST_F(SavedUpload, BytesThatAreNotThoseAnnouncedAreNotGoneOnWith) {
  SendAndVanish(0, 9);
  ASSERT_EQ(*Query(), 9 * kChunk);
  std::string sound = bytes_;
  bytes_[10 * kChunk] ^= 1;
  std::vector<v1::PublishLayerRequest> messages = {TestWorker::Header(lease_, 0, sound)};
  messages[0].mutable_header()->set_first_offset(9 * kChunk);
  for (std::size_t offset = 9 * kChunk; offset < bytes_.size(); offset += kChunk) {
    messages.push_back(TestWorker::Chunk(offset, bytes_.substr(offset, kChunk)));
  }

  EXPECT_EQ(ReasonOf(worker_->Publish(messages).status()), ErrorReason::kDigestMismatch);

  bytes_ = sound;
  EXPECT_EQ(*Query(), 0u);
  EXPECT_TRUE(SendFrom(0).ok());
}

TEST(PublishLayerCall, WhoLostTheLeaseLearnsItBeforeSendingBytes) {
  Service service;
  SubmitTo(service, WithoutEvaluation());
  TestWorker a(service, "worker-a");
  const v1::Lease zombie = a.Poll().lease();
  ASSERT_TRUE(a.Release(zombie).ok());
  TestWorker b(service, "worker-b");
  ASSERT_EQ(b.Poll().lease().task_id(), zombie.task_id());

  EXPECT_EQ(ReasonOf(a.Publish({TestWorker::Header(zombie, 0, "bytes")}).status()), ErrorReason::kStaleEpoch);
}

TEST(PublishLayerCall, ALeaseLostWhileTheBytesTravelCommitsNothing) {
  Service service;
  SubmitTo(service, WithoutEvaluation());
  TestWorker a(service, "worker-a");
  const v1::Lease zombie = a.Poll().lease();
  grpc::ClientContext context;
  v1::PublishLayerResponse response;
  const auto writer = service.workers->PublishLayer(&context, &response);
  ASSERT_TRUE(writer->Write(TestWorker::Header(zombie, 0, "zombie bytes")));
  // The handler has checked the holder once it takes an upload slot.
  while (service.registry.RenderText().find("gptvq_coordinator_uploads 1") == std::string::npos)
    std::this_thread::yield();

  ASSERT_TRUE(a.Release(zombie).ok());
  TestWorker b(service, "worker-b");
  ASSERT_EQ(b.Poll().lease().epoch(), zombie.epoch() + 1);
  writer->Write(TestWorker::Chunk(0, "zombie bytes"));
  writer->WritesDone();

  EXPECT_EQ(ReasonOf(FromGrpcStatus(writer->Finish())), ErrorReason::kStaleEpoch);
  EXPECT_EQ(service.coordinator.store().ReadLayers(JobIdFor(kRequestId))->size(), 0u);
}

// Over TCP, where the code has to cross the wire.
TEST(PublishLayerCall, EndsWhenNothingCameForAMinuteAndFreesItsPlace) {
  Service service;
  SubmitTo(service);
  TestWorker worker(service);
  const auto workers =
      v1::WorkerService::NewStub(grpc::CreateChannel(service.server->address(), grpc::InsecureChannelCredentials()));
  const v1::PublishLayerRequest header = TestWorker::Header(worker.Poll().lease(), 0, "bytes");
  for (const bool has_header : {true, false}) {  // the lease ends meanwhile
    grpc::ClientContext context;
    v1::PublishLayerResponse response;
    const auto writer = workers->PublishLayer(&context, &response);
    if (has_header) {
      ASSERT_TRUE(writer->Write(header));
    }
    while (has_header && service.registry.RenderText().find("gptvq_coordinator_uploads 1") == std::string::npos) {
      std::this_thread::yield();
    }

    auto ended = std::async(std::launch::async, [&] { return writer->Finish(); });
    std::chrono::seconds passed(0);
    while (ended.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      service.clock.Advance(std::chrono::seconds(1));
      ++passed;
    }

    EXPECT_EQ(ended.get().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_GE(passed, std::chrono::seconds(60));
  }
  while (service.registry.RenderText().find("gptvq_coordinator_uploads 0") == std::string::npos) {
    std::this_thread::yield();
  }
  EXPECT_EQ(service.coordinator.store().ReadLayers(JobIdFor(kRequestId))->size(), 0u);
}

TEST(PublishLayerCall, OneUploadTooManyIsToldWhenToComeBack) {
  ServiceOptions options;
  options.workers.max_uploads = 0;
  Service service(options);
  SubmitTo(service);
  TestWorker worker(service);

  const auto refused = worker.PublishLayer(worker.Poll().lease(), 0, "bytes");

  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kTooManyUploads);
  EXPECT_TRUE(RetryAfter(refused.status()).has_value());
}

}  // namespace
}  // namespace gptvq
