#ifndef GPTVQ_CORE_BASE_BACKGROUND_CALL_H_
#define GPTVQ_CORE_BASE_BACKGROUND_CALL_H_

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

namespace gptvq {

// One call of a function on a thread of its own, whose result is taken once. Owns the thread: destruction asks the call
// to stop and waits for it, so the call may borrow what outlives this object. Move-only; thread-compatible.
// With a plain thread in place of std::async the hand-over is one that ThreadSanitizer sees.
template <typename T>
class BackgroundCall {
 public:
  // Nothing runs.
  BackgroundCall() = default;

  // `call` is told by its token that nobody wants its result any more.
  explicit BackgroundCall(std::function<T(std::stop_token)> call)
      : outcome_(std::make_unique<Outcome>()), thread_([outcome = outcome_.get(), call = std::move(call)](auto stop) {
          try {
            outcome->result.emplace(call(std::move(stop)));
          } catch (...) {
            outcome->exception = std::current_exception();
          }
          outcome->done.store(true, std::memory_order_release);
        }) {}

  BackgroundCall(BackgroundCall&&) noexcept = default;
  BackgroundCall& operator=(BackgroundCall&& other) noexcept {
    thread_ = std::move(other.thread_);  // first: it ends the call that may be running here
    outcome_ = std::move(other.outcome_);
    return *this;
  }

  // Whether there is a result to take, now or later.
  bool is_begun() const { return outcome_ != nullptr; }
  // Whether Take() returns at once.
  bool is_done() const { return is_begun() && outcome_->done.load(std::memory_order_acquire); }

  // Waits for the result and takes it; what the call threw is thrown here. Precondition: is_begun().
  T Take() {
    thread_.join();
    const std::unique_ptr<Outcome> outcome = std::move(outcome_);
    if (outcome->exception) std::rethrow_exception(outcome->exception);
    return *std::move(outcome->result);
  }

 private:
  struct Outcome {
    std::optional<T> result;
    std::exception_ptr exception;
    std::atomic<bool> done = false;
  };

  std::unique_ptr<Outcome> outcome_;  // at a place that does not move with this object
  std::jthread thread_;               // last: it ends before the outcome goes
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_BACKGROUND_CALL_H_
