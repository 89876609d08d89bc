#ifndef GPTVQ_PLATFORM_SECRET_H_
#define GPTVQ_PLATFORM_SECRET_H_

#include <string.h>

#include <iosfwd>
#include <string>
#include <utility>

namespace gptvq {

// Text that must reach neither a log nor an error nor a terminal: a key, a token. It does not print, converts to nothing and is
// overwritten when it ends; whoever really needs the text says Reveal(), which is easy to find in a review. A value;
// thread-compatible.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;  // there is no move: what is moved from would keep short texts
  Secret& operator=(const Secret&) = default;
  ~Secret() { explicit_bzero(text_.data(), text_.size()); }

  bool empty() const { return text_.empty(); }
  const std::string& Reveal() const { return text_; }

  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;

 private:
  std::string text_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_SECRET_H_
