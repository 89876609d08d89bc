#include "core/text/line_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::size_t kBlockBytes = 1 << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

absl::StatusOr<std::optional<LineReader::Line>> LineReader::Next() {
  std::size_t newline = 0;
  for (;;) {
    newline = buffer_.find('\n', search_begin_);
    const std::size_t known_bytes = std::min(newline, buffer_.size()) - line_begin_;
    if (known_bytes > max_line_bytes_) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line_number_ + 1, ", from byte ",
                                                     read_offset_ - (buffer_.size() - line_begin_),
                                                     " on, is longer than ", max_line_bytes_, " bytes"));
    }
    if (newline != std::string::npos || read_offset_ == file_.size()) break;
    GPTVQ_RETURN_IF_ERROR(ReadBlock());
  }
  if (line_begin_ == buffer_.size()) return std::nullopt;
  const std::size_t end = newline == std::string::npos ? buffer_.size() : newline + 1;
  Line line{.text = std::string_view(buffer_).substr(line_begin_, end - line_begin_),
            .number = ++line_number_,
            .offset = read_offset_ - (buffer_.size() - line_begin_)};
  line_begin_ = end;
  search_begin_ = end;
  return line;
}

absl::Status LineReader::ReadBlock() {
  buffer_.erase(0, line_begin_);
  line_begin_ = 0;
  search_begin_ = buffer_.size();
  const std::size_t bytes = std::min<std::uint64_t>(kBlockBytes, file_.size() - read_offset_);
  buffer_.resize(search_begin_ + bytes);
  GPTVQ_RETURN_IF_ERROR(
      file_.ReadAt(read_offset_, {reinterpret_cast<std::byte*>(buffer_.data()) + search_begin_, bytes}));
  const bool has_mark = read_offset_ == 0 && buffer_.starts_with(kByteOrderMark);
  read_offset_ += bytes;
  if (has_mark) {
    line_begin_ = kByteOrderMark.size();
    search_begin_ = line_begin_;
  }
  return absl::OkStatus();
}

}  // namespace gptvq
