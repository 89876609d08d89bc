#ifndef GPTVQ_TESTS_WORKER_FAKE_COORDINATOR_SERVER_H_
#define GPTVQ_TESTS_WORKER_FAKE_COORDINATOR_SERVER_H_

#include <memory>
#include <string>

#include "tests/worker/fake_coordinator.h"

namespace gptvq {

// A FakeCoordinator behind gRPC, for tests with the real program.
class FakeCoordinatorServer {
 public:
  // Listens at `address`, e.g. "unix:/path"; stopped by the destructor.
  explicit FakeCoordinatorServer(const std::string& address);
  ~FakeCoordinatorServer();

  FakeCoordinator coordinator;

  // From now on releases are not answered before the server ends.
  void HoldReleases();

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_WORKER_FAKE_COORDINATOR_SERVER_H_
