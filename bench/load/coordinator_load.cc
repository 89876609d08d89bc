// The coordinator under load: real gRPC, a real journal, workers without work. Prints a row for each figure, with its bar.
// A row that needs quiet says what it saw anyway; processor seconds are those of the coordinator alone.
//
//   coordinator_load --coordinator build/release/bin/gptvq-coordinator --make-model build/release/tests/e2e/make_tiny_model

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "bench/load/coordinator_process.h"
#include "bench/load/load_worker.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "gptvq/v1/job_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "platform/clock.h"
#include "platform/options.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kLayers =
    512;  // the most that a plan takes: 511 captures, 512 quantizations, one finalize, two evaluations
constexpr int kTasksPerJob = 2 * kLayers + 2;

struct Options {
  std::string coordinator;
  std::string make_model;
  std::string directory;
  std::string rows = "polls,submit,restart,steady,stress,overload,drain,idle,upload";
  int jobs = 100;
  int seconds = 60;  // of every row that lasts
};

// One coordinator, its model, and what several rows do with it. Thread-compatible but where it says otherwise.
class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), process_(options.coordinator, options.directory + "/coordinator") {
    const std::string command =
        absl::StrFormat("'%s' '%s' %d 16", options.make_model, options.directory + "/input", kLayers);
    GPTVQ_CHECK(std::system(command.c_str()) == 0);
    process_.Start();
    const std::string boundary = process_.store_directory() + "/" + LoadWorker::BoundaryKey();
    std::filesystem::create_directories(std::filesystem::path(boundary).parent_path());
    std::ofstream(boundary) << LoadWorker::BoundaryBytes();
  }

  const Options& options() const { return options_; }
  CoordinatorProcess& process() { return process_; }
  MonotonicTime now() const { return clock_.MonotonicNow(); }
  // Thread-safe.
  void SleepUntil(MonotonicTime time) { clock_.Sleep(time - now(), std::stop_token()); }

  int jobs() const { return jobs_; }
  // Submits jobs until there are `count`.
  void SubmitUpTo(int count) {
    const auto stub = JobStub();
    for (; jobs_ < count; ++jobs_) {
      v1::SubmitJobRequest request;
      request.set_request_id(absl::StrFormat("%08x-0000-4000-8000-000000000000", jobs_));
      v1::JobSpec& spec = *request.mutable_spec();
      const std::string input = "file://" + options_.directory + "/input";
      spec.set_model_uri(input + "/model");
      spec.add_calibration_uris(input + "/calibration.jsonl");
      spec.set_evaluation_uri(input + "/held_out.jsonl");
      spec.set_output_uri(absl::StrFormat("file://%s/output/%d", options_.directory, jobs_));
      spec.mutable_quant()->set_preset("2d-3.125bpv");
      spec.set_propagation(v1::PROPAGATION_MODE_PARALLEL);
      spec.set_shard_layers(1);
      spec.set_samples(2);
      spec.set_sequence_length(128);
      grpc::ClientContext context;
      v1::SubmitJobResponse response;
      const grpc::Status status = stub->SubmitJob(&context, request, &response);
      if (!status.ok()) std::fprintf(stderr, "submit: %s\n", status.error_message().c_str());
      GPTVQ_CHECK(status.ok());
    }
  }

  // Whether the coordinator answers, waiting for it to come up.
  bool Answers() {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    v1::GetCapabilitiesResponse response;
    return JobStub()->GetCapabilities(&context, v1::GetCapabilitiesRequest(), &response).ok();
  }

  // Runs `body(worker, number)` for so many workers at once, each in a thread and on a connection of its own.
  void WithWorkers(int count, WorkerTimes& times, const std::function<void(LoadWorker&, int)>& body) {
    std::vector<std::thread> threads;
    // The same workers in every row: a coordinator takes 1 024, and remembers them for a while.
    const int row = ++row_;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&, row, i] {
        LoadWorker worker(process_.address(), i + 1, row, times);
        worker.Register();
        body(worker, i);
        failures_ += worker.failures();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  int TakeFailures() { return failures_.exchange(0); }

 private:
  std::unique_ptr<v1::JobService::Stub> JobStub() const {
    return v1::JobService::NewStub(grpc::CreateChannel(process_.address(), grpc::InsecureChannelCredentials()));
  }

  const Options options_;
  SystemClock clock_;
  CoordinatorProcess process_;
  int jobs_ = 0;
  int row_ = 0;
  std::atomic<int> failures_ = 0;
};

void Row(const std::string& load, const std::string& bar, const std::string& seen) {
  std::printf("| %s | %s | %s |\n", load.c_str(), bar.c_str(), seen.c_str());
  std::fflush(stdout);
}

std::string Quantiles(const std::string& what, const CallTimes& times) {
  return absl::StrFormat("%s p50 %.1f, p99 %.1f ms (%d)", what, times.Quantile(0.5), times.Quantile(0.99),
                         times.count());
}

// Leases and gives back, one at a time.
void MeasurePolls(Load& load, WorkerTimes& times) {
  load.WithWorkers(1, times, [](LoadWorker& worker, int) {
    for (int i = 0; i < 500; ++i) {
      if (const auto grant = worker.Lease(seconds(0))) worker.Release(*grant);
    }
  });
}

void PollsRow(Load& load) {
  load.SubmitUpTo(1);
  const int few_jobs = load.jobs();
  WorkerTimes few, many;
  MeasurePolls(load, few);
  load.SubmitUpTo(load.options().jobs);
  const double cpu_before = load.process().cpu_seconds();
  MeasurePolls(load, many);
  const double cpu = load.process().cpu_seconds() - cpu_before;
  Row(absl::StrFormat("poll with %d tasks in the journal", load.options().jobs * kTasksPerJob),
      absl::StrFormat("p99 within 2x of that with %d tasks", few_jobs * kTasksPerJob),
      absl::StrFormat("%s; %s; %.2f ms of processor for a lease and a release", Quantiles("few", few.lease),
                      Quantiles("many", many.lease), 1000 * cpu / 500));
}

void SubmitRow(Load& load) {
  const MonotonicTime begin = load.now();
  const double cpu_before = load.process().cpu_seconds();
  load.SubmitUpTo(10);
  Row(absl::StrFormat("10 jobs of %d tasks submitted", kTasksPerJob), "<= 1 s",
      absl::StrFormat("%.2f s, %.2f s of processor", std::chrono::duration<double>(load.now() - begin).count(),
                      load.process().cpu_seconds() - cpu_before));
}

void RestartRow(Load& load) {
  load.SubmitUpTo(load.options().jobs);
  WorkerTimes times;
  // A fresh job has three tasks that depend on nothing.
  const int wanted = std::min(512, 3 * load.jobs());
  std::atomic<int> held = 0, kept = 0;
  std::atomic<bool> restarted = false;
  double restart_seconds = 0;
  std::thread killer([&] {
    const MonotonicTime give_up = load.now() + seconds(120);
    while (held < wanted && load.now() < give_up) load.SleepUntil(load.now() + milliseconds(20));
    load.process().Kill();
    const MonotonicTime begin = load.now();
    load.process().Start();
    GPTVQ_CHECK(load.Answers());
    restart_seconds = std::chrono::duration<double>(load.now() - begin).count();
    restarted = true;
  });
  load.WithWorkers(wanted, times, [&](LoadWorker& worker, int) {
    std::optional<v1::TaskGrant> grant;
    while (!grant && !restarted) {
      grant = worker.Lease(seconds(0));
      if (!grant) load.SleepUntil(load.now() + seconds(1));
    }
    if (!grant) return;
    ++held;
    while (!restarted) {
      worker.Renew(*grant);
      for (int i = 0; i < 100 && !restarted; ++i) load.SleepUntil(load.now() + milliseconds(50));
    }
    for (int attempt = 0; attempt < 20 && !worker.Renew(*grant); ++attempt) load.SleepUntil(load.now() + seconds(1));
    kept += worker.Renew(*grant) ? 1 : 0;
    worker.Release(*grant);
  });
  killer.join();
  load.TakeFailures();  // calls that found nobody there
  GPTVQ_CHECK(held > 0);
  Row(absl::StrFormat("killed with %d tasks and %d leases, started again", load.options().jobs * kTasksPerJob,
                      held.load()),
      "serves in <= 3 s, no lease lost",
      absl::StrFormat("%.2f s, %d of %d leases kept", restart_seconds, kept.load(), held.load()));
}

// Workers that hold each task for a while, with heartbeats. Rates are for all workers together.
struct Pace {
  int workers = 512;
  milliseconds heartbeat_period{10'000};
  milliseconds task_time{60'000};
};

void RunPace(Load& load, const Pace& pace, WorkerTimes& times) {
  const MonotonicTime begin = load.now();
  const MonotonicTime end = begin + seconds(load.options().seconds);
  load.WithWorkers(pace.workers, times, [&](LoadWorker& worker, int i) {
    load.SleepUntil(begin + pace.heartbeat_period * i / pace.workers);  // not all at once
    while (load.now() < end) {
      const auto grant = worker.Lease(seconds(0));
      if (!grant) {
        load.SleepUntil(load.now() + seconds(1));
        continue;
      }
      const MonotonicTime done = load.now() + pace.task_time;
      MonotonicTime next = load.now();
      while ((next += pace.heartbeat_period) < std::min(done, end)) {
        load.SleepUntil(next);
        worker.Renew(*grant);
      }
      load.SleepUntil(std::min(done, end));
      load.now() < end ? worker.Finish(*grant) : worker.Release(*grant);
    }
  });
}

void PaceRow(Load& load, const std::string& what, const std::string& bar, const Pace& pace) {
  load.SubmitUpTo(load.options().jobs);
  WorkerTimes times;
  const double cpu_before = load.process().cpu_seconds();
  const MonotonicTime begin = load.now();
  RunPace(load, pace, times);
  const double wall = std::chrono::duration<double>(load.now() - begin).count();
  Row(what, bar,
      absl::StrFormat("%s; %s; %s; %.0f heartbeats/s, %.0f commits/s; %d calls failed; %.0f %% of a core",
                      Quantiles("lease", times.lease), Quantiles("heartbeat", times.renew),
                      Quantiles("commit", times.complete), static_cast<double>(times.renew.count()) / wall,
                      static_cast<double>(times.complete.count()) / wall, load.TakeFailures(),
                      100 * (load.process().cpu_seconds() - cpu_before) / wall));
}

void DrainRow(Load& load) {
  load.SubmitUpTo(load.options().jobs);
  WorkerTimes times;
  const MonotonicTime begin = load.now();
  const MonotonicTime end = begin + seconds(load.options().seconds);
  const double cpu_before = load.process().cpu_seconds();
  load.WithWorkers(64, times, [&](LoadWorker& worker, int) {
    while (load.now() < end) {
      if (const auto grant = worker.Lease(seconds(1))) worker.Finish(*grant);
    }
  });
  const double wall = std::chrono::duration<double>(load.now() - begin).count();
  const auto done = static_cast<double>(times.complete.count());
  Row("64 workers, tasks of no length", ">= 1000 tasks/s",
      absl::StrFormat("%.0f tasks/s, %s, %s, %s; %.2f ms of processor a task; %d calls failed", done / wall,
                      Quantiles("lease", times.lease), Quantiles("publish", times.publish),
                      Quantiles("commit", times.complete), 1000 * (load.process().cpu_seconds() - cpu_before) / done,
                      load.TakeFailures()));
}

// On a coordinator without jobs, so that every poll waits.
void IdleRow(Load& load) {
  WorkerTimes times;
  std::atomic<bool> stop = false;
  double share = 0, rss = 0;
  std::thread watcher([&] {
    load.SleepUntil(load.now() + seconds(15));  // until all of them are there
    const double cpu_before = load.process().cpu_seconds();
    const MonotonicTime begin = load.now();
    load.SleepUntil(begin + seconds(load.options().seconds));
    share = (load.process().cpu_seconds() - cpu_before) / std::chrono::duration<double>(load.now() - begin).count();
    rss = load.process().rss_mib();
    stop = true;
  });
  load.WithWorkers(1000, times, [&](LoadWorker& worker, int) {
    while (!stop) {
      const MonotonicTime begin = load.now();
      if (const auto grant = worker.Lease(seconds(10))) worker.Release(*grant);
      if (load.now() - begin < seconds(1)) load.SleepUntil(begin + seconds(1));  // retry_after
    }
  });
  watcher.join();
  Row("1000 idle long polls", "< 5 % of a core, < 300 MiB",
      absl::StrFormat("%.1f %% of a core, %.0f MiB; %d calls failed", 100 * share, rss, load.TakeFailures()));
}

void UploadRow(Load& load) {
  constexpr std::uint64_t kBytes = std::uint64_t{512} << 20;
  load.SubmitUpTo(10);
  Sha256 sha256;
  const std::vector<std::byte> zeros(1 << 20);
  for (std::uint64_t i = 0; i < kBytes; i += zeros.size()) sha256.Update(zeros);
  const std::string hex = sha256.Finish().hex();
  WorkerTimes times;
  std::atomic<int> uploads = 0, ended = 0;
  const MonotonicTime begin = load.now();
  MonotonicTime end = begin;
  load.WithWorkers(9, times, [&](LoadWorker& worker, int i) {
    std::optional<v1::TaskGrant> grant;
    std::vector<v1::TaskGrant> others;
    while (!grant) {  // the last worker only sends heartbeats, and takes what comes
      auto next = worker.Lease(seconds(1));
      if (!next) continue;
      if (i == 8 || next->kind() == v1::TASK_KIND_QUANTIZE) {
        grant = std::move(next);
      } else {
        others.push_back(*std::move(next));
      }
    }
    if (i == 8) {
      while (ended < 8) {
        worker.Renew(*grant);
        load.SleepUntil(load.now() + milliseconds(20));
      }
    } else {
      const std::jthread renewals([&](std::stop_token stop) {  // as a worker's own thread does
        for (SystemClock clock; !stop.stop_requested(); clock.Sleep(seconds(10), stop)) worker.Renew(*grant);
      });
      uploads += worker.Publish(*grant, grant->layers().begin(), hex, kBytes) ? 1 : 0;
      if (++ended == 8) end = load.now();
    }
    worker.Release(*grant);
    for (const v1::TaskGrant& other : others) worker.Release(other);
  });
  const double wall = std::chrono::duration<double>(end - begin).count();
  Row("8 uploads of 512 MiB at once to file://", ">= 150 MB/s, <= 400 MiB, heartbeat p99 <= 100 ms",
      absl::StrFormat("%.0f MB/s (%d of 8), %.0f MiB at most, %s; %d calls failed",
                      uploads * static_cast<double>(kBytes) / 1e6 / wall, uploads.load(), load.process().peak_rss_mib(),
                      Quantiles("heartbeat", times.renew), load.TakeFailures()));
}

const std::vector<std::pair<std::string, std::function<void(Load&)>>>& Rows() {
  static const auto& rows = *new std::vector<std::pair<std::string, std::function<void(Load&)>>>{
      {"idle", IdleRow},
      {"submit", SubmitRow},
      {"upload", UploadRow},
      {"polls", PollsRow},
      {"restart", RestartRow},
      {"steady",
       [](Load& load) {
         PaceRow(load, "512 workers, heartbeats every 10 s, tasks of 60 s", "lease and heartbeat p99 <= 50 ms", Pace());
       }},
      {"stress",
       [](Load& load) {
         PaceRow(load, "500 heartbeats/s and 200 leases and commits/s", "p99 <= 100 ms, no false reap",
                 {.workers = 400, .heartbeat_period = milliseconds(600), .task_time = milliseconds(2'000)});
       }},
      {"overload",
       [](Load& load) {
         PaceRow(load, "five times the stress", "commits >= 80 % of the peak, no false reap",
                 {.workers = 400, .heartbeat_period = milliseconds(120), .task_time = milliseconds(400)});
       }},
      {"drain", DrainRow},
  };
  return rows;
}

int Main(int argc, char** argv) {
  Options options;
  CommandLine command_line({.name = "coordinator_load", .summary = "Loads a coordinator and measures it."});
  Command& command = command_line.main();
  command.AddString({.name = "--coordinator", .help = "The program.", .presence = Presence::kRequired},
                    &options.coordinator);
  command.AddString({.name = "--make-model", .help = "make_tiny_model.", .presence = Presence::kRequired},
                    &options.make_model);
  command.AddString({.name = "--directory", .help = "An empty one, for everything.", .presence = Presence::kRequired},
                    &options.directory);
  command.AddString({.name = "--rows", .help = "Which, with commas."}, &options.rows);
  command.AddInteger({.name = "--jobs", .help = "In the journal, of 1026 tasks each."}, &options.jobs, {1, 190});
  command.AddInteger({.name = "--seconds", .help = "Of every row that lasts."}, &options.seconds, {1, 3600});
  const ParsedCommandLine parsed = command_line.Parse(argc, argv, std::cout, std::cerr);
  if (parsed.exit_code) return *parsed.exit_code;

  const std::set<std::string> wanted = absl::StrSplit(options.rows, ',');
  Load load(options);
  std::printf("| load | bar | seen |\n|---|---|---|\n");
  for (const auto& [name, row] : Rows()) {
    if (wanted.contains(name)) row(load);
  }
  return 0;
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) { return gptvq::Main(argc, argv); }
