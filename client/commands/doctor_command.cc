#include "client/commands/doctor_command.h"

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_format.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxShownBytes = 1000;

void PrintJson(const std::vector<CheckLine>& lines, Terminal& terminal) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const CheckLine& line : lines) {
    nlohmann::ordered_json object;
    object["check"] = line.check;
    object["result"] = std::string(Name(line.result));
    object["message"] = line.message;
    object["remedy"] = line.remedy;
    array.push_back(std::move(object));
  }
  terminal.out << array.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << std::endl;
}

void PrintText(const std::vector<CheckLine>& lines, Terminal& terminal) {
  for (const CheckLine& line : lines) {
    terminal.out << absl::StrFormat("%-5s %-12s %s\n", std::string(Name(line.result)), line.check,
                                    Printable(line.message, kMaxShownBytes));
    if (!line.remedy.empty()) terminal.out << absl::StrFormat("%19sremedy: %s\n", "", line.remedy);
  }
  terminal.out << std::flush;
}

}  // namespace

ExitCode RunDoctor(const DoctorOptions& options, JobClient& client, const Storage& storage, Clock& clock,
                   OutputFormat output, Terminal& terminal) {
  const std::vector<CheckLine> lines = Diagnose(options, client, storage, clock);
  if (output == OutputFormat::kJson) {
    PrintJson(lines, terminal);
  } else {
    PrintText(lines, terminal);
  }
  return WorstOf(lines);
}

}  // namespace gptvq
