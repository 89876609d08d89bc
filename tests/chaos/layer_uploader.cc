// Workers that compute nothing: each leases a task, publishes one layer of random bytes over the shipping link with its retries and
// heartbeats, and gives the task back. Prints what it saw as JSON.
//
//   layer_uploader CONTROL_ADDRESS LAYER_ADDRESS WORKERS MIB

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "platform/rpc/channel.h"
#include "worker/grpc_coordinator_link.h"
#include "worker/retrying_link.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kHeartbeatPeriod(250);
constexpr BackoffOptions kBackoff = {.first = milliseconds(50), .longest = milliseconds(200)};

struct Addresses {
  std::string control;
  std::string layers;
};

// What all workers saw. Thread-safe by its mutex.
struct Seen {
  std::mutex mutex;
  std::vector<double> heartbeat_ms;
  std::atomic<int> published = 0;
};

void SendHeartbeats(CoordinatorLink& link, const Lease& lease, Seen& seen, const std::stop_token& stop) {
  SystemClock clock;
  TaskProgress progress;
  for (; !stop.stop_requested(); ++progress.counter) {
    const MonotonicTime begin = clock.MonotonicNow();
    if (link.RenewLease(lease, progress, {}).ok()) {
      const std::chrono::duration<double, std::milli> duration = clock.MonotonicNow() - begin;
      const std::lock_guard lock(seen.mutex);
      seen.heartbeat_ms.push_back(duration.count());
    }
    clock.Sleep(kHeartbeatPeriod, stop);
  }
}

void Work(const Addresses& addresses, int number, std::string_view packed, Counter& retries, Seen& seen) {
  SystemClock clock;
  Logger log(LogLevel::kWarning);
  GrpcCoordinatorLink once(
      {MakeChannel(addresses.control), MakeChannel(addresses.layers)},
      {absl::StrCat("uploader-", number), absl::StrFormat("%032x", number), "cpu-uploader/1", {{"cpu", "", 0}}});
  BackoffOptions backoff = kBackoff;
  backoff.seed = static_cast<std::uint64_t>(number);
  RetryingLink link(once, backoff, clock, log, retries);
  GPTVQ_CHECK(link.Register({}).ok());
  std::optional<TaskGrant> grant;
  for (int poll = 0; !grant; ++poll) {
    const absl::StatusOr<PollAnswer> answer =
        link.PollTask({.poll_id = absl::StrCat("poll-", poll), .wait = milliseconds(1'000)}, {});
    GPTVQ_CHECK(answer.ok());
    grant = answer->grant;
  }
  absl::Status published;
  {
    const std::jthread heartbeats([&](const std::stop_token& stop) { SendHeartbeats(once, grant->lease, seen, stop); });
    published = link.PublishLayer(grant->lease, {.layer = grant->layers.begin, .packed = packed, .linears = {}}, {});
  }
  if (!published.ok()) std::fprintf(stderr, "uploader-%d: %s\n", number, published.ToString().c_str());
  seen.published += published.ok() ? 1 : 0;
  (void)link.ReleaseTask(grant->lease, {});
}

int Main(const Addresses& addresses, int workers, std::size_t bytes) {
  std::string packed(bytes, '\0');
  std::mt19937_64 random(1);  // the same bytes in every run
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(&packed[i], &word, sizeof(word));
  }
  MetricsRegistry registry("uploader");
  Counter& retries = registry.AddCounter("retries_total", "Calls that were repeated.");
  Seen seen;
  const SystemClock clock;
  const MonotonicTime begin = clock.MonotonicNow();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < workers; ++i) threads.emplace_back([&, i] { Work(addresses, i, packed, retries, seen); });
  }
  const std::chrono::duration<double> duration = clock.MonotonicNow() - begin;
  std::sort(seen.heartbeat_ms.begin(), seen.heartbeat_ms.end());
  const std::size_t count = seen.heartbeat_ms.size();
  const auto quantile = [&](double share) {
    return count == 0
               ? 0
               : seen.heartbeat_ms[std::min(count - 1, static_cast<std::size_t>(share * static_cast<double>(count)))];
  };
  std::printf(
      "{\"published\": %d, \"seconds\": %.2f, \"heartbeats\": %zu, \"heartbeat_p50_ms\": %.1f, \"heartbeat_p99_ms\": "
      "%.1f, \"retries\": %.0f}\n",
      seen.published.load(), duration.count(), count, quantile(0.5), quantile(0.99), retries.Value());
  return 0;
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: layer_uploader CONTROL_ADDRESS LAYER_ADDRESS WORKERS MIB\n");
    return 2;
  }
  return gptvq::Main({argv[1], argv[2]}, std::atoi(argv[3]), static_cast<std::size_t>(std::atoi(argv[4])) << 20);
}
