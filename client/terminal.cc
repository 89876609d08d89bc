#include "client/terminal.h"

namespace gptvq {

std::string Printable(std::string_view text, std::size_t max_bytes) {
  std::string printable(text.substr(0, max_bytes));
  for (char& c : printable) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  if (text.size() > max_bytes) printable += "...";
  return printable;
}

ExitCode Fail(Terminal& terminal, const absl::Status& status) {
  constexpr std::size_t kMaxMessageBytes = 4096;
  terminal.err << (terminal.colour ? "\033[31merror:\033[0m " : "error: ")
               << Printable(std::string_view(status.message().data(), status.message().size()), kMaxMessageBytes)
               << std::endl;
  return ExitCodeFor(status);
}

}  // namespace gptvq
