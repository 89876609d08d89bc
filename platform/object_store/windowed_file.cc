#include "platform/object_store/windowed_file.h"

#include <algorithm>

#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::size_t kHalfWindowBytes = kReadWindowBytes / 2;

}  // namespace

absl::Status WindowedFile::ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const {
  const bool passes_the_end = offset > size() || bytes_out.size() > size() - offset;
  if (passes_the_end || bytes_out.empty() || bytes_out.size() > kHalfWindowBytes) {
    return file_->ReadAt(offset, bytes_out);
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::shared_ptr<const Window> window, WindowAround(offset, bytes_out.size()));
  std::copy_n(window->bytes.begin() + static_cast<std::ptrdiff_t>(offset - window->begin), bytes_out.size(),
              bytes_out.begin());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const WindowedFile::Window>> WindowedFile::WindowAround(std::uint64_t offset,
                                                                                       std::size_t length) const {
  {
    std::lock_guard lock(mutex_);
    if (latest_ != nullptr && latest_->Holds(offset, length)) return latest_;
  }
  // Whatever is short and begins in the first half of a window ends in it.
  const std::uint64_t begin = offset - offset % kHalfWindowBytes;
  auto window = std::make_shared<Window>(
      Window{begin, std::vector<std::byte>(std::min<std::uint64_t>(kReadWindowBytes, size() - begin))});
  GPTVQ_RETURN_IF_ERROR(file_->ReadAt(begin, absl::MakeSpan(window->bytes)));
  std::lock_guard lock(mutex_);
  latest_ = window;
  return window;
}

}  // namespace gptvq
