#include "server/method_table.h"

#include <algorithm>
#include <array>

namespace gptvq {
namespace {

constexpr std::array kTable = {
    MethodRule{"/gptvq.v1.JobService/SubmitJob", Callers::kClients, Effect::kChanges},
    MethodRule{"/gptvq.v1.JobService/GetJob", Callers::kReaders, Effect::kReads},
    MethodRule{"/gptvq.v1.JobService/ListJobs", Callers::kReaders, Effect::kReads},
    MethodRule{"/gptvq.v1.JobService/WatchJob", Callers::kReaders, Effect::kReads},
    MethodRule{"/gptvq.v1.JobService/CancelJob", Callers::kClients, Effect::kChanges},
    MethodRule{"/gptvq.v1.JobService/GetReport", Callers::kReaders, Effect::kReads},
    MethodRule{"/gptvq.v1.JobService/ListWorkers", Callers::kReaders, Effect::kReads},
    MethodRule{"/gptvq.v1.JobService/ReleaseWorker", Callers::kAdmins, Effect::kChanges},
    MethodRule{"/gptvq.v1.JobService/GetCapabilities", Callers::kEverybody, Effect::kReads},
    MethodRule{"/gptvq.v1.WorkerService/RegisterWorker", Callers::kWorkers, Effect::kChanges},
    MethodRule{"/gptvq.v1.WorkerService/LeaseTask", Callers::kWorkers, Effect::kChanges},
    // A heartbeat: it is not journaled, and the audit log has no line for it.
    MethodRule{"/gptvq.v1.WorkerService/RenewLease", Callers::kWorkers, Effect::kReads},
    MethodRule{"/gptvq.v1.WorkerService/PublishLayer", Callers::kWorkers, Effect::kChanges},
    MethodRule{"/gptvq.v1.WorkerService/QueryUpload", Callers::kWorkers, Effect::kReads},
    MethodRule{"/gptvq.v1.WorkerService/CheckpointTask", Callers::kWorkers, Effect::kChanges},
    MethodRule{"/gptvq.v1.WorkerService/CompleteTask", Callers::kWorkers, Effect::kChanges},
    MethodRule{"/gptvq.v1.WorkerService/FailTask", Callers::kWorkers, Effect::kChanges},
    MethodRule{"/gptvq.v1.WorkerService/ReleaseTask", Callers::kWorkers, Effect::kChanges},
    MethodRule{"/grpc.health.v1.Health/Check", Callers::kEverybody, Effect::kReads},
    MethodRule{"/grpc.health.v1.Health/Watch", Callers::kEverybody, Effect::kReads},
    MethodRule{"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Callers::kAdmins, Effect::kReads},
};

}  // namespace

std::span<const MethodRule> MethodTable() { return kTable; }

const MethodRule* FindMethodRule(std::string_view path_or_method) {
  const auto rule = std::find_if(kTable.begin(), kTable.end(), [&](const MethodRule& one) {
    return one.path == path_or_method || (one.path.starts_with("/gptvq.") && one.method() == path_or_method);
  });
  return rule == kTable.end() ? nullptr : &*rule;
}

bool MayCall(Role role, Callers callers) {
  switch (callers) {
    case Callers::kEverybody: return role != Role::kCoordinator;
    case Callers::kReaders: return role == Role::kClient || role == Role::kAdmin || role == Role::kObserver;
    case Callers::kClients: return role == Role::kClient || role == Role::kAdmin;
    case Callers::kWorkers: return role == Role::kWorker;
    case Callers::kAdmins: return role == Role::kAdmin;
  }
  return false;
}

}  // namespace gptvq
