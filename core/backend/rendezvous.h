#ifndef GPTVQ_CORE_BACKEND_RENDEZVOUS_H_
#define GPTVQ_CORE_BACKEND_RENDEZVOUS_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace gptvq {

// Where the threads of a team meet: each brings something, one of them acts on all of it while the others wait, and all go on
// with the same outcome. A thread that will not come says so, and nobody waits for it. Thread-safe.
class Rendezvous {
 public:
  // Precondition: size > 0.
  explicit Rendezvous(int size) : brought_(static_cast<std::size_t>(size), nullptr) {}

  int size() const { return static_cast<int>(brought_.size()); }

  // Waits until every rank has come; then `act` runs once, on the thread of the last, with what all brought in order of
  // ranks, and its status is everybody's result. What was brought must stay as it is until Meet returns.
  // Errors: those of `act`; Aborted once a rank has withdrawn; Internal when others came for another purpose (a bug).
  absl::Status Meet(int rank, std::string_view purpose, void* brought,
                    absl::FunctionRef<absl::Status(absl::Span<void* const>)> act);

  // A rank will not come again: those who wait now, and those who come later, get Aborted.
  void Withdraw();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<void*> brought_;
  std::string_view purpose_;  // of the first who came
  bool is_same_purpose_ = true;
  int arrived_ = 0;
  std::uint64_t meetings_ = 0;  // that are over
  absl::Status outcome_;        // of the last one
  bool withdrawn_ = false;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_RENDEZVOUS_H_
