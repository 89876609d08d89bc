// The program itself: its exit codes, its signals, its metrics. The coordinator is a fake behind gRPC.

#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/job/error_reason.h"
#include "platform/object_store/storage.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tiny_model.h"
#include "tests/worker/fake_coordinator_server.h"

namespace gptvq {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr seconds kPatience(60);

class WorkerProcess : public testing::Test {
 protected:
  std::unique_ptr<ChildProcess> StartWorker(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::string(GPTVQ_BINARY_DIR) + "/bin/gptvq-worker");
    return std::make_unique<ChildProcess>(arguments, directory_.Join("log"));
  }
  std::unique_ptr<ChildProcess> StartWorker() {
    return StartWorker({"--coordinator", address_, "--name", "w", "--threads", "1"});
  }

  std::string Log() const {
    std::ostringstream text;
    text << std::ifstream(directory_.Join("log")).rdbuf();
    return text.str();
  }

  // A task that takes minutes and publishes a layer every few seconds at most.
  TaskGrant LongTask() const {
    const TinyModel model = {.layer_count = 200};
    WriteTinyModel(model,
                   **Storage({}).CreateDirectory(ObjectUri::Parse("file://" + directory_.Join("model")).value()));
    std::string ids;
    for (const std::int32_t id : RandomTokens(model, 5000, 1)) ids += std::to_string(id) + " ";
    directory_.WriteFile("text.ids", ids);
    TaskGrant grant = AGrant("A");
    grant.spec.model_uri = "file://" + directory_.Join("model");
    grant.spec.calibration_uris = {"file://" + directory_.Join("text.ids")};
    grant.spec.samples = 64;
    grant.spec.sequence_length = 64;
    grant.layer_count = model.layer_count;
    grant.layers = {0, model.layer_count};
    return grant;
  }

  const TemporaryDirectory directory_;
  const std::string address_ = "unix:" + directory_.Join("socket");
};

TEST_F(WorkerProcess, TermWhileIdleEndsItWithZero) {
  FakeCoordinatorServer server(address_);
  const auto worker = StartWorker();
  server.coordinator.Await("poll");

  worker->Signal(SIGTERM);

  EXPECT_EQ(worker->Wait(kPatience), 0) << Log();
  EXPECT_THAT(server.coordinator.Calls(), ElementsAre("register"));
}

TEST_F(WorkerProcess, TheReadyFileIsThereWhileTheCoordinatorAnswersAndGoneAfterTheEnd) {
  const std::string ready_file = directory_.Join("ready");
  FakeCoordinatorServer server(address_);
  const auto worker = StartWorker({"--coordinator", address_, "--threads", "1", "--ready-file", ready_file});
  server.coordinator.Await("poll");
  EXPECT_TRUE(std::filesystem::exists(ready_file)) << Log();

  worker->Signal(SIGTERM);

  EXPECT_EQ(worker->Wait(kPatience), 0) << Log();
  EXPECT_FALSE(std::filesystem::exists(ready_file));
}

TEST_F(WorkerProcess, TermWhileWorkingReleasesTheTaskAndEndsItWithZero) {
  FakeCoordinatorServer server(address_);
  server.coordinator.Grant(LongTask());
  const auto worker = StartWorker();
  server.coordinator.Await("publish A 1");

  worker->Signal(SIGTERM);

  EXPECT_EQ(worker->Wait(kPatience), 0) << Log();
  EXPECT_EQ(server.coordinator.Calls().back(), "release A");
  EXPECT_THAT(server.coordinator.CallsOf("fail"), testing::IsEmpty());
}

TEST_F(WorkerProcess, SecondSignalEndsItAtOnce) {
  FakeCoordinatorServer server(address_);
  server.HoldReleases();
  server.coordinator.Grant(LongTask());
  const auto worker = StartWorker();
  server.coordinator.Await("publish A 0");
  worker->Signal(SIGTERM);
  server.coordinator.Await("release A");

  worker->Signal(SIGINT);

  EXPECT_EQ(worker->Wait(kPatience), 128 + SIGINT) << Log();
}

TEST_F(WorkerProcess, WaitsForACoordinatorThatComesLater) {
  const auto worker = StartWorker();
  EXPECT_FALSE(worker->Wait(std::chrono::milliseconds(300)).has_value()) << Log();

  FakeCoordinatorServer server(address_);
  server.coordinator.Await("register");

  worker->Signal(SIGTERM);
  EXPECT_EQ(worker->Wait(kPatience), 0) << Log();
}

TEST_F(WorkerProcess, CoordinatorOfAnotherProtocolEndsItWithOne) {
  FakeCoordinatorServer server(address_);
  server.coordinator.AnswerNext("register", Refuse(ErrorReason::kUpgradeRequired, "protocol 1.0 against 2.0"));

  const auto worker = StartWorker();

  EXPECT_EQ(worker->Wait(kPatience), 1);
  EXPECT_THAT(Log(), HasSubstr("protocol 1.0 against 2.0"));
}

TEST_F(WorkerProcess, SelfTestNeedsNoCoordinator) {
  EXPECT_EQ(StartWorker({"--selftest", "--threads", "2"})->Wait(kPatience), 0) << Log();
  EXPECT_THAT(Log(), HasSubstr("msg=\"self test\" slot=cpu:0"));
}

TEST_F(WorkerProcess, UsageErrorsEndItWithTwo) {
  EXPECT_EQ(StartWorker({})->Wait(kPatience), 2);
  EXPECT_THAT(Log(), HasSubstr("--coordinator is missing"));
  EXPECT_EQ(StartWorker({"--coordinater", "h:1"})->Wait(kPatience), 2);
  EXPECT_THAT(Log(), HasSubstr("did you mean --coordinator?"));
}

TEST_F(WorkerProcess, MetricsPortInUseEndsItBeforeItRegisters) {
  FakeCoordinatorServer server(address_);
  const auto first = StartWorker({"--coordinator", address_, "--metrics-listen", "127.0.0.1:0"});
  server.coordinator.Await("register");
  const std::string log = Log();
  const std::size_t place = log.find("port=");
  ASSERT_NE(place, std::string::npos) << log;
  const std::string port = log.substr(place + 5, log.find('\n', place) - place - 5);

  const auto second = StartWorker({"--coordinator", address_, "--metrics-listen", "127.0.0.1:" + port});

  EXPECT_EQ(second->Wait(kPatience), 1);
  EXPECT_THAT(Log(), HasSubstr("cannot serve metrics on 127.0.0.1:" + port));
  EXPECT_THAT(server.coordinator.CallsOf("register"), testing::SizeIs(1));
}

}  // namespace
}  // namespace gptvq
