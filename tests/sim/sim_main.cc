// The simulation as a program: many seeds, what was checked how often, and how a failing seed is seen again.
//
//   scheduler_sim --seeds 20000 --first 1
//   scheduler_sim --seeds 1 --first 17 --trace --without drop,delay --jobs 1

#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "platform/options.h"
#include "tests/sim/sim_run.h"

namespace gptvq {
namespace {

struct Options {
  std::uint64_t seeds = 5'000;
  SimCase first;
  bool trace = false;
};

void DeclareOptions(Command& command, Options& options) {
  command.AddInteger({.name = "--seeds", .help = "How many runs.", .value = "N"}, &options.seeds, {1, 1'000'000'000});
  command.AddInteger({.name = "--first", .help = "Seed of the first run; the others follow it.", .value = "N"},
                     &options.first.seed, {0, std::uint64_t{1} << 62});
  command.AddInteger({.name = "--jobs", .help = "At most so many jobs in a run.", .value = "N"},
                     &options.first.most_jobs, {1, 3});
  command.AddInteger({.name = "--workers", .help = "At most so many workers in a run.", .value = "N"},
                     &options.first.most_workers, {1, 8});
  command.AddSwitch({.name = "--trace", .help = "Print everything that happens."}, &options.trace);
  command.AddParsed({.name = "--without", .help = "Faults that never happen, by name, with commas.", .value = "FAULTS"},
                    "", [&options](std::string_view text) -> absl::Status {
                      const std::vector<std::string> names = absl::StrSplit(std::string(text), ',');
                      for (const std::string& name : names) {
                        const std::optional<SimFault> fault = ParseSimFault(name);
                        if (!fault) return absl::InvalidArgumentError("must be names of faults, as in sim_fault.h");
                        options.first.without.insert(*fault);
                      }
                      return absl::OkStatus();
                    });
}

bool Fails(const SimCase& sim, Invariant invariant) {
  const SimSummary summary = RunSim(sim);
  return summary.violation && summary.violation->invariant == invariant;
}

// Takes away whatever the failure does not need, one thing after the other.
SimCase Shrink(SimCase sim, Invariant invariant) {
  for (int* most : {&sim.most_jobs, &sim.most_workers}) {
    while (*most > 1) {
      --*most;
      if (Fails(sim, invariant)) continue;
      ++*most;
      break;
    }
  }
  for (const SimFaultEntry& entry : kSimFaults) {
    if (!sim.without.insert(entry.fault).second || Fails(sim, invariant)) continue;
    sim.without.erase(entry.fault);
  }
  return sim;
}

std::string FlagsOf(const SimCase& sim) {
  std::string flags = "--jobs " + std::to_string(sim.most_jobs) + " --workers " + std::to_string(sim.most_workers);
  const auto append_name = [](std::string* text, SimFault fault) { text->append(Name(fault)); };
  if (!sim.without.empty()) flags += " --without " + absl::StrJoin(sim.without, ",", append_name);
  return flags;
}

void ReportFailure(const SimCase& sim, const SimSummary& summary) {
  const Violation& violation = *summary.violation;
  std::printf(
      "seed %" PRIu64 " breaks %s (%s)\n  %s\n  trace %016" PRIx64 "; again: make sim SEEDS=1 SEED=%" PRIu64 "\n",
      sim.seed, std::string(EntryOf(violation.invariant).name).c_str(),
      std::string(EntryOf(violation.invariant).sentence).c_str(), violation.text.c_str(), summary.trace_hash, sim.seed);
  std::fflush(stdout);  // a mutant may die while it shrinks
  const SimCase small = Shrink(sim, violation.invariant);
  std::printf("  with less, step by step: make sim SEEDS=1 SEED=%" PRIu64 " SIM_FLAGS='--trace %s'\n", sim.seed,
              FlagsOf(small).c_str());
}

void ReportTotal(std::uint64_t seeds, const SimSummary& total, double seconds) {
  std::printf("%" PRIu64 " seeds, %.0f per minute of one core, %.1f tasks per seed\n", seeds,
              60 * static_cast<double>(seeds) / seconds, static_cast<double>(total.tasks) / static_cast<double>(seeds));
  std::printf("%" PRId64 " grants; jobs: %" PRId64 " succeeded, %" PRId64 " failed, %" PRId64 " cancelled\n",
              total.grants, total.succeeded, total.failed, total.cancelled);
  const char* separator = "audits: ";
  for (AuditOutcome outcome : kAllAuditOutcomes) {
    const std::int64_t count = total.audits[static_cast<std::size_t>(outcome)];
    std::printf("%s%" PRId64 " %s", std::exchange(separator, ", "), count, std::string(Name(outcome)).c_str());
  }
  std::printf("\n");
  std::printf("trace %016" PRIx64 "\n\n| invariant | holds | checked |\n|---|---|---|\n", total.trace_hash);
  for (const InvariantEntry& entry : kInvariants) {
    std::printf("| %s | %s | %" PRId64 " |\n", std::string(entry.name).c_str(), std::string(entry.sentence).c_str(),
                total.checks[static_cast<std::size_t>(entry.invariant)]);
  }
}

int Main(int argc, char** argv) {
  Options options;
  CommandLine command_line({.name = "scheduler_sim", .summary = "Simulates coordinators, workers and faults."});
  DeclareOptions(command_line.main(), options);
  const ParsedCommandLine parsed = command_line.Parse(argc, argv, std::cout, std::cerr);
  if (parsed.exit_code) return *parsed.exit_code;
  if (options.trace) options.first.trace = SimTrace::kPrint;

  SimSummary total;
  const std::clock_t begin = std::clock();
  for (std::uint64_t i = 0; i < options.seeds; ++i) {
    SimCase sim = options.first;
    sim.seed += i;
    const SimSummary summary = RunSim(sim);
    total.Add(summary);
    if (summary.violation) {
      sim.trace = SimTrace::kHash;
      ReportFailure(sim, summary);
      return 1;
    }
  }
  ReportTotal(options.seeds, total, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  return 0;
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) { return gptvq::Main(argc, argv); }
