#ifndef GPTVQ_SERVER_SILENCE_WATCH_H_
#define GPTVQ_SERVER_SILENCE_WATCH_H_

#include <chrono>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/sync_stream.h"
#include "platform/clock.h"

namespace gptvq {

// Ends a streaming call whose caller has sent nothing for `limit`: a blocking Read of gRPC has no deadline of its own, and
// would keep its thread and its place until the connection ends. Only time inside Read counts, not the handler's own work. One
// thread while it lives; borrows clock and context. Read and status() are for the handler's thread.
class SilenceWatch {
 public:
  SilenceWatch(std::chrono::milliseconds limit, Clock& clock, grpc::ServerContext& context);

  // False at the end of the stream, and when it was ended for silence: status() tells which.
  template <typename Message>
  bool Read(grpc::ServerReader<Message>& reader, Message& message_out) {
    BeginToListen();
    const bool was_read = reader.Read(&message_out);
    EndToListen();
    return was_read;
  }

  // Errors: DeadlineExceeded when the call was ended for silence.
  absl::Status status() const;

 private:
  void Watch(const std::stop_token& stop);
  void BeginToListen();
  void EndToListen();

  const std::chrono::milliseconds limit_;
  Clock& clock_;
  grpc::ServerContext& context_;
  mutable std::mutex mutex_;
  std::optional<MonotonicTime> listening_since_;  // guarded by mutex_
  bool has_ended_ = false;                        // guarded by mutex_
  std::jthread thread_;                           // last: it uses the others
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SILENCE_WATCH_H_
