#ifndef GPTVQ_CORE_BASE_STATUS_MACROS_H_
#define GPTVQ_CORE_BASE_STATUS_MACROS_H_

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

// The one pair of macros for errors as values:
//   GPTVQ_RETURN_IF_ERROR(Write(file));
//   GPTVQ_ASSIGN_OR_RETURN(auto tensor, reader.Read("x"));

#define GPTVQ_STATUS_CONCAT_INNER(a, b) a##b
#define GPTVQ_STATUS_CONCAT(a, b) GPTVQ_STATUS_CONCAT_INNER(a, b)

#define GPTVQ_RETURN_IF_ERROR(expression)     \
  do {                                        \
    absl::Status gptvq_status = (expression); \
    if (!gptvq_status.ok()) [[unlikely]]      \
      return gptvq_status;                    \
  } while (false)

#define GPTVQ_ASSIGN_OR_RETURN(declaration, expression) \
  GPTVQ_ASSIGN_OR_RETURN_INNER(GPTVQ_STATUS_CONCAT(gptvq_statusor_, __LINE__), declaration, expression)

#define GPTVQ_ASSIGN_OR_RETURN_INNER(statusor, declaration, expression) \
  auto statusor = (expression);                                         \
  if (!statusor.ok()) [[unlikely]]                                      \
    return std::move(statusor).status();                                \
  declaration = std::move(statusor).value()

namespace gptvq {

// The same error with "context: " in front of its message; OK stays OK. Payloads are kept. Each layer of the program
// adds its context once ("layer 3: model.layers.3.self_attn.q_proj: ...").
inline absl::Status WithContext(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status result(status.code(),
                      absl::StrCat(absl::string_view(context.data(), context.size()), ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_STATUS_MACROS_H_
