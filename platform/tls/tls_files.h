#ifndef GPTVQ_PLATFORM_TLS_TLS_FILES_H_
#define GPTVQ_PLATFORM_TLS_TLS_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/identity.h"
#include "platform/options.h"
#include "platform/tls/certificate.h"

namespace gptvq {

// The three PEM files of one side of a mutual TLS connection; all empty: no TLS. Plain value.
struct TlsFiles {
  std::string certificate;  // this side's, followed by intermediate ones
  std::string key;          // of that certificate, not encrypted
  std::string authority;    // certificates that the other side's must descend from

  bool empty() const { return certificate.empty() && key.empty() && authority.empty(); }

  // Errors: InvalidArgument when only some of the three are given, naming a flag that is missing.
  absl::Status Validate() const;
};

// --tls-cert, --tls-key and --tls-ca.
void AddTlsFlags(Command& command, TlsFiles* files);

// This side's certificate and who it says we are.
struct TlsIdentity {
  Certificate certificate;
  Identity identity;
};

// Reads the files as a start would and checks them against each other and the time, so that what is wrong is said in
// words instead of by a handshake. Which authority issued our certificate is for the other side to judge. Only reads.
// Errors: NotFound, PermissionDenied (a file can not be read, or everybody may read the key); InvalidArgument (no PEM, an
// encrypted key, a key of another certificate, expired or not yet valid, no identity), naming flag and file.
absl::StatusOr<TlsIdentity> CheckTlsFiles(const TlsFiles& files, WallTime now);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_TLS_TLS_FILES_H_
