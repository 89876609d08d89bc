#ifndef GPTVQ_WORKER_SELF_TEST_H_
#define GPTVQ_WORKER_SELF_TEST_H_

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/backend/team.h"

namespace gptvq {

// Multiplies matrices of small whole numbers, whose product is exact in f32 in every order of summation, and compares
// every element. Finds what makes a worker useless whatever the task: a broken library, a kernel that does not suit the
// processor, bad memory.
// Errors: Internal naming the element that is wrong; those of the backend.
absl::Status RunSelfTest(Backend& backend);

// The same for every backend of a team, and whether what one sends arrives at the others.
absl::Status RunSelfTest(const Team& team);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_SELF_TEST_H_
