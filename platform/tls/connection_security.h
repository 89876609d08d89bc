#ifndef GPTVQ_PLATFORM_TLS_CONNECTION_SECURITY_H_
#define GPTVQ_PLATFORM_TLS_CONNECTION_SECURITY_H_

#include <string>

#include "absl/status/status.h"
#include "platform/options.h"
#include "platform/tls/tls_files.h"

namespace gptvq {

// What a caller wants of the coordinator's certificate, besides the authority and the role.
enum class HostCheck {
  kNamesTheHost,  // of the address that was called
  kNone,          // one of several coordinators answers, at addresses that their certificates need not name
};

// How a client or worker shows the coordinator who it is. Plain value.
struct ConnectionSecurity {
  TlsFiles tls;            // empty: plain text
  std::string token_file;  // empty: no bearer token

  // Errors: InvalidArgument for files that do not belong together, and for a token that would travel in plain text.
  absl::Status Validate() const;
};

// Declares --tls-cert, --tls-key, --tls-ca and --token-file.
void AddConnectionFlags(Command& command, ConnectionSecurity* security);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_TLS_CONNECTION_SECURITY_H_
