#ifndef GPTVQ_PLATFORM_OPTIONS_H_
#define GPTVQ_PLATFORM_OPTIONS_H_

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/base/status_macros.h"
#include "platform/option_values.h"

namespace gptvq {

// The command lines of the three programs. A program declares each option once; the option is then a flag
// (--lease-ttl-ms 5000), an environment variable (GPTVQ_LEASE_TTL_MS=5000) and a field of a struct, under one name. The
// flag wins over the environment, the environment over the value that the field held before.
//
//   WorkerOptions options;
//   CommandLine command_line({.name = "gptvq-worker", .summary = "Quantizes layers."});
//   command_line.main().AddInteger({.name = "--threads", .help = "Threads of one slot.", .value = "N"},
//                                  &options.threads, {.min = 1, .max = 1024});
//   const ParsedCommandLine parsed = command_line.Parse(argc, argv, std::cout, std::cerr);
//   if (parsed.exit_code) return *parsed.exit_code;

enum class Presence { kOptional, kRequired };

struct Flag {
  std::string name;             // "--lease-ttl-ms", or "-o,--output" with a letter
  std::string help;             // one sentence
  std::string value = "VALUE";  // what stands for the value in the help
  Presence presence = Presence::kOptional;
};

// Looks a variable of the environment up.
using Environment = std::function<std::optional<std::string>(const std::string& variable)>;

// That of this process: the only place of the project that reads it.
Environment ProcessEnvironment();

// GPTVQ_LEASE_TTL_MS for --lease-ttl-ms or -x,--lease-ttl-ms.
std::string EnvironmentVariable(std::string_view flag_name);

// The options of a program, or of one of its commands. Targets are borrowed, must outlive Parse, and hold the defaults.
// Thread-compatible.
class Command {
 public:
  // Takes the text of a value; an error says what the value must be.
  using ValueParser = std::function<absl::Status(std::string_view text)>;

  ~Command();

  void AddString(Flag flag, std::string* target);
  void AddDuration(Flag flag, std::chrono::milliseconds* target);
  void AddByteSize(Flag flag, std::uint64_t* target);
  void AddHostPort(Flag flag, HostPort* target);
  void AddNumber(Flag flag, double* target, Range<double> range);
  template <std::integral T>
  void AddInteger(Flag flag, T* target, Range<T> range) {
    AddParsed(std::move(flag), std::to_string(*target), [target, range](std::string_view text) -> absl::Status {
      GPTVQ_ASSIGN_OR_RETURN(*target, ParseInteger<T>(text, range));
      return absl::OkStatus();
    });
  }
  // One of `choices`, a list of names and values.
  template <typename T>
  void AddChoice(Flag flag, T* target, std::vector<std::pair<std::string, T>> choices);
  // A flag without a value; its environment variable is "true" or "false".
  void AddSwitch(Flag flag, bool* target);
  // A flag that may be repeated; its environment variable holds one value.
  void AddStrings(Flag flag, std::vector<std::string>* target);
  // Any other type. `default_text` is for the help; empty: none is shown.
  void AddParsed(Flag flag, std::string default_text, ValueParser parse);
  // The same for a flag that may be repeated: `parse` takes each value.
  void AddEachParsed(Flag flag, ValueParser parse);

  // An argument without a flag, by its place. `flag.name` is a word such as "JOB"; it has no environment variable.
  void AddArgument(Flag flag, std::string* target);

 private:
  friend class CommandLine;
  struct State;
  explicit Command(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

struct ProgramInfo {
  std::string name;
  std::string summary;
  // Whether one of the commands must be given. If not, the program's own options count only without a command.
  Presence command = Presence::kRequired;
};

struct ParsedCommandLine {
  // Set when there is nothing to run: 0 after --help or --version, 2 after a usage error.
  std::optional<int> exit_code;
  // The command that was given; empty when the program has none.
  std::string command;
};

// Thread-compatible. Owns its commands.
class CommandLine {
 public:
  explicit CommandLine(ProgramInfo info, Environment environment = ProcessEnvironment());
  ~CommandLine();

  // The options of the program itself.
  Command& main();
  // Declares a command (gptvq-client submit ...).
  Command& AddCommand(std::string_view name, std::string_view summary);

  // Fills the targets, or prints why not. Help and version go to `out`, usage errors to `err`: what was wrong, the
  // value escaped, what is expected, and for an unknown name the nearest known one.
  ParsedCommandLine Parse(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

template <typename T>
void Command::AddChoice(Flag flag, T* target, std::vector<std::pair<std::string, T>> choices) {
  std::string names;
  std::string default_text;
  for (const auto& [name, value] : choices) {
    names += names.empty() ? name : "|" + name;
    if (value == *target) default_text = name;
  }
  flag.value = names;
  AddParsed(std::move(flag), std::move(default_text),
            [target, names, choices = std::move(choices)](std::string_view text) -> absl::Status {
              for (const auto& [name, value] : choices) {
                if (name != text) continue;
                *target = value;
                return absl::OkStatus();
              }
              return absl::InvalidArgumentError("must be one of " + names);
            });
}

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OPTIONS_H_
