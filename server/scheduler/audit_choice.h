#ifndef GPTVQ_SERVER_SCHEDULER_AUDIT_CHOICE_H_
#define GPTVQ_SERVER_SCHEDULER_AUDIT_CHOICE_H_

#include <string_view>

namespace gptvq {

// Whether a task is done a second time, by another worker, to see whether the bytes are the same. A `fraction` of all tasks is, from 0 to 1;
// which ones follows from their ids alone, so that the same job is always audited alike and no worker knows before it is asked. What is
// chosen for one fraction is chosen for every greater one. Pure.
bool IsAudited(std::string_view task_id, double fraction);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_AUDIT_CHOICE_H_
