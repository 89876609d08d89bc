#include "platform/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <ostream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "platform/version.h"

namespace gptvq {
namespace {

constexpr int kUsageError = 2;
// Longer than any path, URI or list of names that makes sense; refused before anything else looks at it.
constexpr std::size_t kMaxArgumentBytes = 4096;
constexpr std::size_t kMaxEchoedBytes = 80;

enum class Arity { kSwitch, kOne, kMany };

struct DeclaredOption {
  Flag flag;
  Arity arity;
  bool is_positional;
  Command::ValueParser parse;
  CLI::Option* option;  // owned by the CLI::App
};

// The text as it may be shown on a terminal.
std::string Quoted(std::string_view text) {
  const std::string_view shown = text.substr(0, kMaxEchoedBytes);
  return absl::StrCat("'", absl::Utf8SafeCHexEscape(absl::string_view(shown.data(), shown.size())),
                      shown.size() < text.size() ? "...'" : "'");
}

// "--output" of "-o,--output".
std::string_view LongName(std::string_view flag_name) { return flag_name.substr(flag_name.rfind(',') + 1); }

// Levenshtein's distance: insertions, deletions and replacements that turn one word into the other.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

// "; did you mean 'x'?", or nothing when no candidate is near.
std::string Suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  std::string best;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best.empty() ? "" : absl::StrCat("; did you mean ", best, "?");
}

absl::Status CheckArguments(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.size() > kMaxArgumentBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("argument ", Quoted(argument), " is longer than ", kMaxArgumentBytes, " bytes"));
    }
    if (std::any_of(argument.begin(), argument.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
      return absl::InvalidArgumentError(absl::StrCat("argument ", Quoted(argument), " holds a control character"));
    }
  }
  return absl::OkStatus();
}

absl::Status ParseValue(const DeclaredOption& declared, const std::string& source, std::string_view text) {
  const absl::Status status = declared.parse(text);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(source, " ", Quoted(text), ": ", status.message()));
}

// Fills the target of one option from the command line, else from the environment.
absl::Status Resolve(const DeclaredOption& declared, const Environment& environment) {
  const std::string name(LongName(declared.flag.name));
  const std::vector<std::string>& values = declared.option->results();
  if (values.size() > 1 && declared.arity != Arity::kMany) {
    return absl::InvalidArgumentError(absl::StrCat(name, " was given ", values.size(), " times"));
  }
  for (const std::string& value : values) GPTVQ_RETURN_IF_ERROR(ParseValue(declared, name, value));
  if (!values.empty()) return absl::OkStatus();
  if (!declared.is_positional) {
    const std::string variable = EnvironmentVariable(declared.flag.name);
    if (const std::optional<std::string> value = environment(variable)) return ParseValue(declared, variable, *value);
  }
  if (declared.flag.presence == Presence::kOptional) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(declared.is_positional ? "argument " : "", name, " is missing: ", declared.flag.help));
}

std::string HelpText(const Flag& flag, const std::string& default_text) {
  return absl::StrCat(flag.help, flag.presence == Presence::kRequired ? " Required." : "",
                      default_text.empty() ? "" : absl::StrCat(" Default: ", default_text, "."));
}

}  // namespace

struct Command::State {
  CLI::App& app;
  std::vector<DeclaredOption> options;

  void Declare(Flag flag, Arity arity, const std::string& default_text, ValueParser parse) {
    const bool is_positional = !flag.name.starts_with('-');
    const std::string help = HelpText(flag, default_text);
    CLI::Option* option = nullptr;
    if (arity == Arity::kSwitch) {
      option = app.add_flag(flag.name, help);
    } else {
      option = app.add_option(flag.name, CLI::callback_t(), help)->expected(1);
      option->type_name(is_positional ? "" : flag.value);
    }
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);  // Resolve says what is wrong with two values
    options.push_back({std::move(flag), arity, is_positional, std::move(parse), option});
  }

  absl::Status RefuseUnknown(const std::vector<std::string>& commands) const {
    const std::vector<std::string> remaining = app.remaining();
    if (remaining.empty()) return absl::OkStatus();
    const auto flag =
        std::find_if(remaining.begin(), remaining.end(), [](const auto& a) { return a.starts_with('-'); });
    if (flag == remaining.end()) {
      return absl::InvalidArgumentError(absl::StrCat(commands.empty() ? "unexpected argument " : "unknown command ",
                                                     Quoted(remaining.front()),
                                                     Suggestion(remaining.front(), commands)));
    }
    const std::string_view name = std::string_view(*flag).substr(0, flag->find('='));
    std::vector<std::string> names = {"--help"};
    for (const DeclaredOption& declared : options) names.emplace_back(LongName(declared.flag.name));
    return absl::InvalidArgumentError(absl::StrCat("unknown flag ", Quoted(name), Suggestion(name, names)));
  }

  absl::Status ResolveAll(const Environment& environment) const {
    for (const DeclaredOption& declared : options) GPTVQ_RETURN_IF_ERROR(Resolve(declared, environment));
    return absl::OkStatus();
  }
};

Environment ProcessEnvironment() {
  return [](const std::string& variable) -> std::optional<std::string> {
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

std::string EnvironmentVariable(std::string_view flag_name) {
  const std::string name(LongName(flag_name).substr(2));
  return absl::StrCat("GPTVQ_", absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}})));
}

Command::Command(std::unique_ptr<State> state) : state_(std::move(state)) {}
Command::~Command() = default;

void Command::AddString(Flag flag, std::string* target) {
  AddParsed(std::move(flag), *target, [target](std::string_view text) {
    *target = std::string(text);
    return absl::OkStatus();
  });
}

void Command::AddDuration(Flag flag, std::chrono::milliseconds* target) {
  const std::string default_text = absl::FormatDuration(absl::FromChrono(*target));
  AddParsed(std::move(flag), default_text, [target](std::string_view text) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(*target, ParseDuration(text));
    return absl::OkStatus();
  });
}

void Command::AddByteSize(Flag flag, std::uint64_t* target) {
  AddParsed(std::move(flag), std::to_string(*target), [target](std::string_view text) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(*target, ParseByteSize(text));
    return absl::OkStatus();
  });
}

void Command::AddHostPort(Flag flag, HostPort* target) {
  const std::string default_text = target->host.empty() ? "" : target->ToString();
  AddParsed(std::move(flag), default_text, [target](std::string_view text) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(*target, ParseHostPort(text));
    return absl::OkStatus();
  });
}

void Command::AddNumber(Flag flag, double* target, Range<double> range) {
  AddParsed(std::move(flag), absl::StrCat(*target), [target, range](std::string_view text) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(*target, ParseNumber(text, range));
    return absl::OkStatus();
  });
}

void Command::AddSwitch(Flag flag, bool* target) {
  state_->Declare(std::move(flag), Arity::kSwitch, "", [target](std::string_view text) {
    if (text != "true" && text != "false") return absl::InvalidArgumentError("must be true or false");
    *target = text == "true";
    return absl::OkStatus();
  });
}

void Command::AddStrings(Flag flag, std::vector<std::string>* target) {
  AddEachParsed(std::move(flag), [target](std::string_view text) {
    target->emplace_back(text);
    return absl::OkStatus();
  });
}

void Command::AddParsed(Flag flag, std::string default_text, ValueParser parse) {
  state_->Declare(std::move(flag), Arity::kOne, default_text, std::move(parse));
}

void Command::AddEachParsed(Flag flag, ValueParser parse) {
  state_->Declare(std::move(flag), Arity::kMany, "", std::move(parse));
}

void Command::AddArgument(Flag flag, std::string* target) {
  GPTVQ_CHECK(!flag.name.starts_with('-'));
  AddString(std::move(flag), target);
}

struct CommandLine::State {
  CLI::App app;
  Environment environment;
  Presence presence;  // of a command
  std::unique_ptr<Command> main;
  std::vector<std::pair<std::string, std::unique_ptr<Command>>> commands;

  // Reads the words; the command that was given, if any, goes to `chosen`.
  absl::Status Read(int argc, const char* const* argv, std::string* chosen);
};

CommandLine::CommandLine(ProgramInfo info, Environment environment) : state_(std::make_unique<State>()) {
  state_->app.name(info.name);
  state_->app.description(info.summary);
  state_->app.allow_extras();
  state_->app.set_version_flag("--version", absl::StrCat(info.name, " ", std::string(Version())));
  state_->app.footer("Every flag may come from the environment: --lease-ttl-ms is GPTVQ_LEASE_TTL_MS.");
  state_->environment = std::move(environment);
  state_->presence = info.command;
  state_->main.reset(new Command(std::unique_ptr<Command::State>(new Command::State{state_->app, {}})));
}

CommandLine::~CommandLine() = default;

Command& CommandLine::main() { return *state_->main; }

Command& CommandLine::AddCommand(std::string_view name, std::string_view summary) {
  state_->app.require_subcommand(0, 1);  // behind the first one a command's name is a word like any other
  CLI::App* app = state_->app.add_subcommand(std::string(name), std::string(summary));
  app->allow_extras();
  state_->commands.emplace_back(
      name, std::unique_ptr<Command>(new Command(std::unique_ptr<Command::State>(new Command::State{*app, {}}))));
  return *state_->commands.back().second;
}

ParsedCommandLine CommandLine::Parse(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  ParsedCommandLine parsed;
  absl::Status status;
  try {
    status = state_->Read(argc, argv, &parsed.command);
  } catch (const CLI::Success& request) {  // --help, --version
    state_->app.exit(request, out, err);
    parsed.exit_code = 0;
    return parsed;
  } catch (const CLI::ArgumentMismatch& error) {  // "--threads: 1 required N missing"
    const std::string_view message = error.what();
    status =
        absl::InvalidArgumentError(absl::StrCat(std::string(message.substr(0, message.find(':'))), " needs a value"));
  } catch (const CLI::ParseError& error) {
    status = absl::InvalidArgumentError(error.what());
  }
  if (!status.ok()) {
    const std::string command = parsed.command.empty() ? "" : absl::StrCat(" ", parsed.command);
    err << state_->app.get_name() << command << ": " << status.message() << "\n"
        << "Try '" << state_->app.get_name() << command << " --help'.\n";
    parsed.exit_code = kUsageError;
  }
  return parsed;
}

absl::Status CommandLine::State::Read(int argc, const char* const* argv, std::string* chosen) {
  GPTVQ_RETURN_IF_ERROR(CheckArguments(argc, argv));
  app.parse(argc, argv);
  std::vector<std::string> names;
  for (const auto& [name, command] : commands) names.push_back(name);
  GPTVQ_RETURN_IF_ERROR(main->state_->RefuseUnknown(names));
  for (const auto& [name, command] : commands) {
    if (app.got_subcommand(name)) *chosen = name;
  }
  if (chosen->empty() || presence == Presence::kRequired) {
    GPTVQ_RETURN_IF_ERROR(main->state_->ResolveAll(environment));
  }
  if (commands.empty() || (chosen->empty() && presence == Presence::kOptional)) return absl::OkStatus();

  for (const auto& [name, command] : commands) {
    if (name != *chosen) continue;
    GPTVQ_RETURN_IF_ERROR(command->state_->RefuseUnknown({}));
    return command->state_->ResolveAll(environment);
  }
  return absl::InvalidArgumentError("a command is missing");
}

}  // namespace gptvq
