#ifndef GPTVQ_CORE_TEXT_LINE_READER_H_
#define GPTVQ_CORE_TEXT_LINE_READER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace gptvq {

// The lines of a file from first to last, in bounded memory: one block and the longest line. Thread-compatible; borrows
// the file.
class LineReader {
 public:
  struct Line {
    std::string_view text;     // with its "\n", if it has one; valid until the next call
    std::int64_t number = 0;   // from 1
    std::uint64_t offset = 0;  // of its first byte in the file
  };

  // A UTF-8 byte-order mark at the start of the file is not part of the first line.
  LineReader(const RandomAccessFile& file, std::size_t max_line_bytes) : file_(file), max_line_bytes_(max_line_bytes) {}

  // nullopt after the last line.
  // Errors: InvalidArgument for a line longer than max_line_bytes, with its number and offset; those of reading.
  absl::StatusOr<std::optional<Line>> Next();

 private:
  absl::Status ReadBlock();

  const RandomAccessFile& file_;
  const std::size_t max_line_bytes_;
  std::string buffer_;
  std::size_t line_begin_ = 0;     // in buffer_
  std::size_t search_begin_ = 0;   // no newline between line_begin_ and here
  std::uint64_t read_offset_ = 0;  // in the file, of the byte after buffer_
  std::int64_t line_number_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_LINE_READER_H_
