#ifndef GPTVQ_SERVER_METHOD_TABLE_H_
#define GPTVQ_SERVER_METHOD_TABLE_H_

#include <span>
#include <string_view>

#include "platform/identity.h"

namespace gptvq {

enum class Callers {
  kEverybody,  // with a certificate of the authority
  kReaders,    // clients, admins and observers
  kClients,    // clients and admins
  kWorkers,
  kAdmins,
};

enum class Effect { kReads, kChanges };

// Who may call a method. What a client may see of the jobs of others is decided by the service.
struct MethodRule {
  std::string_view path;  // "/gptvq.v1.JobService/SubmitJob"
  Callers callers = Callers::kAdmins;
  Effect effect = Effect::kReads;

  std::string_view method() const { return path.substr(path.rfind('/') + 1); }
};

// Every method that the server has, and no other: what is not listed is denied. A test compares the table with the
// descriptors of the protocol.
std::span<const MethodRule> MethodTable();

// The rule of a path, or of a method of our two services; null: not listed.
const MethodRule* FindMethodRule(std::string_view path_or_method);

bool MayCall(Role role, Callers callers);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_METHOD_TABLE_H_
