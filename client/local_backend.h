#ifndef GPTVQ_CLIENT_LOCAL_BACKEND_H_
#define GPTVQ_CLIENT_LOCAL_BACKEND_H_

#include <memory>

#include "core/backend/backend.h"

namespace gptvq {

// The CPU of this machine for commands that compute by themselves. 0 threads: one per core.
std::unique_ptr<Backend> MakeLocalBackend(int threads);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_LOCAL_BACKEND_H_
