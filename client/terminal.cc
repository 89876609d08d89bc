#include "client/terminal.h"

#include "core/text/unicode.h"

namespace gptvq {
namespace {

// What a terminal may take as a command (C0, DEL, C1), or what lets a line show something else than it holds.
bool ActsOnTheScreen(char32_t c) {
  const bool is_control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
  const bool is_line_end = c == 0x2028 || c == 0x2029;
  const bool reorders = c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
  return is_control || is_line_end || reorders;
}

}  // namespace

std::string Printable(std::string_view text, std::size_t max_bytes) {
  const std::string valid = unicode::ReplaceInvalidUtf8(text);
  std::string printable;
  for (std::size_t begin = 0; begin < valid.size();) {
    const unicode::Character character = unicode::DecodeAt(valid, begin);
    if (character.end > max_bytes) return printable + "...";
    if (ActsOnTheScreen(character.code_point)) {
      printable += '?';
    } else {
      printable.append(valid, begin, character.end - begin);
    }
    begin = character.end;
  }
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
