#include "platform/options.h"

#include <map>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/version.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

enum class Color { kRed, kBlue };

// A program with one option of every kind, and what it printed.
struct Program {
  std::map<std::string, std::string> variables;
  std::int64_t lease_ttl_ms = 30000;
  std::string name = "default";
  double share = 0.5;
  bool watch = false;
  Color color = Color::kRed;
  milliseconds timeout = milliseconds(1000);
  std::uint64_t cache_bytes = 0;
  HostPort listen;
  std::vector<std::string> texts;

  std::ostringstream out;
  std::ostringstream err;

  ParsedCommandLine Parse(std::vector<const char*> words) {
    CommandLine line({.name = "gptvq-test", .summary = "A test."}, [this](const std::string& variable) {
      const auto it = variables.find(variable);
      return it == variables.end() ? std::nullopt : std::optional(it->second);
    });
    line.main().AddInteger({.name = "--lease-ttl-ms", .help = "Lease.", .value = "MS"}, &lease_ttl_ms,
                           {.min = 1, .max = 100000});
    line.main().AddString({.name = "-n,--name", .help = "Name."}, &name);
    line.main().AddNumber({.name = "--share", .help = "Share."}, &share, {.min = 0, .max = 1});
    line.main().AddSwitch({.name = "--watch", .help = "Watch."}, &watch);
    line.main().AddChoice<Color>({.name = "--color", .help = "Color."}, &color,
                                 {{"red", Color::kRed}, {"blue", Color::kBlue}});
    line.main().AddDuration({.name = "--timeout", .help = "Timeout."}, &timeout);
    line.main().AddByteSize({.name = "--cache-bytes", .help = "Cache."}, &cache_bytes);
    line.main().AddHostPort({.name = "--listen", .help = "Listen."}, &listen);
    line.main().AddStrings({.name = "--text", .help = "Text."}, &texts);
    words.insert(words.begin(), "gptvq-test");
    return line.Parse(static_cast<int>(words.size()), words.data(), out, err);
  }
};

TEST(CommandLine, FlagWinsOverEnvironmentWinsOverDefault) {
  Program program;
  program.variables = {{"GPTVQ_LEASE_TTL_MS", "7000"}, {"GPTVQ_NAME", "from-environment"}};

  const ParsedCommandLine parsed = program.Parse({"--lease-ttl-ms", "5000"});

  EXPECT_FALSE(parsed.exit_code.has_value()) << program.err.str();
  EXPECT_EQ(program.lease_ttl_ms, 5000);
  EXPECT_EQ(program.name, "from-environment");
  EXPECT_EQ(program.share, 0.5);
}

TEST(CommandLine, ReadsEveryKindOfValue) {
  Program program;

  const ParsedCommandLine parsed =
      program.Parse({"-n", "x", "--share=0.25", "--watch", "--color", "blue", "--timeout", "1m30s", "--cache-bytes",
                     "2MiB", "--listen", "[::1]:0", "--text", "a", "--text", "b"});

  ASSERT_FALSE(parsed.exit_code.has_value()) << program.err.str();
  EXPECT_EQ(program.name, "x");
  EXPECT_EQ(program.share, 0.25);
  EXPECT_TRUE(program.watch);
  EXPECT_EQ(program.color, Color::kBlue);
  EXPECT_EQ(program.timeout, milliseconds(90000));
  EXPECT_EQ(program.cache_bytes, 2u << 20);
  EXPECT_EQ(program.listen, (HostPort{"::1", 0}));
  EXPECT_THAT(program.texts, ElementsAre("a", "b"));
}

struct Refusal {
  std::vector<const char*> words;
  const char* message;
};

TEST(CommandLine, SaysWhatIsWrongAndExitsWithTwo) {
  const std::string long_word(1 << 20, 'x');
  const std::vector<Refusal> refusals = {
      {{"--lease-tll-ms", "5"}, "unknown flag '--lease-tll-ms'; did you mean --lease-ttl-ms?"},
      {{"--completely-else"}, "unknown flag '--completely-else'\n"},
      {{"--lease-ttl-ms", "0"}, "--lease-ttl-ms '0': must be a whole number from 1 to 100000"},
      {{"--lease-ttl-ms", "-3"}, "must be a whole number"},
      {{"--lease-ttl-ms", "2.5"}, "must be a whole number"},
      {{"--lease-ttl-ms", ""}, "must be a whole number"},
      {{"--lease-ttl-ms", "99999999999999999999"}, "must be a whole number"},
      {{"--lease-ttl-ms", "5", "--lease-ttl-ms", "6"}, "--lease-ttl-ms was given 2 times"},
      {{"--lease-ttl-ms"}, "--lease-ttl-ms needs a value"},
      {{"--share", "nan"}, "must be a number from 0 to 1"},
      {{"--share", "1e400"}, "must be a number from 0 to 1"},
      {{"--color", "green"}, "must be one of red|blue"},
      {{"--timeout", "soon"}, "must be a duration"},
      {{"--cache-bytes", "10 G B"}, "must be a number of bytes"},
      {{"--listen", "here"}, "must be host:port"},
      {{"--watch=perhaps"}, "--watch"},
      {{"surplus"}, "unexpected argument 'surplus'"},
      {{"--name", "\x1b[31mred"}, "'\\x1b[31mred' holds a control character"},
      {{"--name", long_word.c_str()}, "is longer than 4096 bytes"},
  };
  for (const Refusal& refusal : refusals) {
    Program program;
    const ParsedCommandLine parsed = program.Parse(refusal.words);
    EXPECT_EQ(parsed.exit_code, 2) << refusal.message;
    EXPECT_THAT(program.err.str(), HasSubstr(refusal.message));
    EXPECT_LT(program.err.str().size(), 400u);
    EXPECT_EQ(program.out.str(), "");
  }
}

TEST(CommandLine, NamesTheVariableWhoseValueIsWrong) {
  Program program;
  program.variables = {{"GPTVQ_WATCH", "maybe"}};

  EXPECT_EQ(program.Parse({}).exit_code, 2);
  EXPECT_THAT(program.err.str(), HasSubstr("GPTVQ_WATCH 'maybe': must be true or false"));
}

TEST(CommandLine, HelpAndVersionGoToStandardOutput) {
  Program help;
  EXPECT_EQ(help.Parse({"--help"}).exit_code, 0);
  EXPECT_THAT(help.out.str(), HasSubstr("--lease-ttl-ms MS"));
  EXPECT_THAT(help.out.str(), HasSubstr("Lease. Default: 30000."));
  EXPECT_EQ(help.err.str(), "");

  Program version;
  EXPECT_EQ(version.Parse({"--version"}).exit_code, 0);
  EXPECT_EQ(version.out.str(), "gptvq-test " + std::string(Version()) + "\n");
}

TEST(CommandLine, RequiredFlagMayComeFromTheEnvironment) {
  std::optional<std::string> variable;
  std::string address;
  CommandLine line({.name = "p", .summary = "P."}, [&](const std::string&) { return variable; });
  line.main().AddString({.name = "--coordinator", .help = "Where it listens.", .presence = Presence::kRequired},
                        &address);
  const char* argv[] = {"p"};
  std::ostringstream out, err;

  EXPECT_EQ(line.Parse(1, argv, out, err).exit_code, 2);
  EXPECT_THAT(err.str(), HasSubstr("--coordinator is missing: Where it listens."));
  variable = "host:1";
  EXPECT_FALSE(line.Parse(1, argv, out, err).exit_code.has_value());
  EXPECT_EQ(address, "host:1");
}

// A program with two commands.
struct Client {
  std::string job;
  std::string format = "text";
  std::ostringstream out;
  std::ostringstream err;

  ParsedCommandLine Parse(std::vector<const char*> words) {
    CommandLine line({.name = "client", .summary = "A client."}, [](const std::string&) { return std::nullopt; });
    Command& get = line.AddCommand("get", "Shows a job.");
    get.AddArgument({.name = "JOB", .help = "The job.", .presence = Presence::kRequired}, &job);
    get.AddString({.name = "-o,--output", .help = "Format."}, &format);
    line.AddCommand("list", "Lists jobs.");
    words.insert(words.begin(), "client");
    return line.Parse(static_cast<int>(words.size()), words.data(), out, err);
  }
};

TEST(CommandLine, CommandTakesItsArgumentsAndFlags) {
  Client client;

  const ParsedCommandLine parsed = client.Parse({"get", "job-1", "-o", "json"});

  EXPECT_FALSE(parsed.exit_code.has_value()) << client.err.str();
  EXPECT_EQ(parsed.command, "get");
  EXPECT_EQ(client.job, "job-1");
  EXPECT_EQ(client.format, "json");
}

TEST(CommandLine, AnArgumentMayBeNamedLikeACommand) {
  Client client;

  const ParsedCommandLine parsed = client.Parse({"get", "list"});

  EXPECT_FALSE(parsed.exit_code.has_value()) << client.err.str();
  EXPECT_EQ(parsed.command, "get");
  EXPECT_EQ(client.job, "list");
}

TEST(CommandLine, RefusesWrongCommands) {
  const std::vector<Refusal> refusals = {
      {{}, "client: a command is missing"},
      {{"gett", "job-1"}, "unknown command 'gett'; did you mean get?"},
      {{"get"}, "client get: argument JOB is missing: The job."},
      {{"get", "a", "b"}, "client get: unexpected argument 'b'"},
      {{"list", "get"}, "client list: unexpected argument 'get'"},
      {{"get", "a", "--outptu", "json"}, "unknown flag '--outptu'; did you mean --output?"},
  };
  for (const Refusal& refusal : refusals) {
    Client client;
    EXPECT_EQ(client.Parse(refusal.words).exit_code, 2);
    EXPECT_THAT(client.err.str(), HasSubstr(refusal.message));
  }
}

TEST(CommandLine, HelpOfACommandShowsItsOwnFlags) {
  Client client;

  EXPECT_EQ(client.Parse({"get", "--help"}).exit_code, 0);

  EXPECT_THAT(client.out.str(), HasSubstr("-o,--output"));
}

TEST(CommandLine, WithOptionalCommandsTakesItsOwnFlagsOnlyWithoutOne) {
  const auto parse = [](std::vector<const char*> words, std::string& directory, std::string& output) {
    CommandLine line({.name = "gptvq-test", .summary = "A test.", .command = Presence::kOptional},
                     [](const std::string&) { return std::nullopt; });
    const Flag needed = {.name = "--data-dir", .help = "Data.", .value = "DIR", .presence = Presence::kRequired};
    line.main().AddString(needed, &directory);
    line.AddCommand("backup", "Copies.").AddString({.name = "--output", .help = "File."}, &output);
    words.insert(words.begin(), "gptvq-test");
    std::ostringstream printed;
    return line.Parse(static_cast<int>(words.size()), words.data(), printed, printed);
  };
  std::string directory;
  std::string output;

  EXPECT_EQ(parse({"--data-dir", "d"}, directory, output).command, "");
  EXPECT_EQ(directory, "d");
  EXPECT_EQ(parse({"backup", "--output", "o"}, directory, output).command, "backup");
  EXPECT_EQ(output, "o");
  EXPECT_EQ(parse({}, directory, output).exit_code, 2);
  EXPECT_EQ(parse({"bakcup"}, directory, output).exit_code, 2);
  EXPECT_EQ(parse({"backup", "--data-dir", "d"}, directory, output).exit_code, 2);
}

TEST(EnvironmentVariable, IsTheFlagInCapitals) {
  EXPECT_EQ(EnvironmentVariable("--lease-ttl-ms"), "GPTVQ_LEASE_TTL_MS");
  EXPECT_EQ(EnvironmentVariable("-o,--output"), "GPTVQ_OUTPUT");
}

}  // namespace
}  // namespace gptvq
