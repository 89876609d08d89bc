#include "platform/tls/connection_security.h"

#include "core/base/status_macros.h"

namespace gptvq {

absl::Status ConnectionSecurity::Validate() const {
  GPTVQ_RETURN_IF_ERROR(tls.Validate());
  if (token_file.empty() || !tls.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--token-file needs --tls-cert, --tls-key and --tls-ca: a token is not sent in plain text");
}

void AddConnectionFlags(Command& command, ConnectionSecurity* security) {
  AddTlsFlags(command, &security->tls);
  command.AddParsed({.name = "--token-file",
                     .help = "File with the bearer token that the coordinator asks for besides the certificate.",
                     .value = "FILE"},
                    "", [security](std::string_view text) {
                      if (text.empty()) return absl::InvalidArgumentError("must name a file");
                      security->token_file = std::string(text);
                      return absl::OkStatus();
                    });
}

}  // namespace gptvq
