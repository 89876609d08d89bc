#ifndef GPTVQ_CLIENT_TERMINAL_H_
#define GPTVQ_CLIENT_TERMINAL_H_

#include <ostream>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/exit_code.h"

namespace gptvq {

// How the streams behave.
enum class Liveliness {
  kPlain,     // a file or a pipe: plain lines only
  kAnimated,  // a terminal: lines may be rewritten and coloured
};

// Where a command writes: data for programs on `out`, talk for people on `err`. Borrows the streams.
struct Terminal {
  std::ostream& out;
  std::ostream& err;
  Liveliness err_liveliness = Liveliness::kPlain;
  bool colour = false;  // of err; false when NO_COLOR is set
};

// Text that is safe to print, whatever somebody typed or sent: control characters (C1 included) and marks that reorder
// text become '?', bytes that are not UTF-8 U+FFFD. Longer than `max_bytes`, it is cut before a character and ends in
// "...".
std::string Printable(std::string_view text, std::size_t max_bytes = 512);

// Prints "error: <message>" on err and returns the exit code that belongs to the status.
ExitCode Fail(Terminal& terminal, const absl::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_TERMINAL_H_
