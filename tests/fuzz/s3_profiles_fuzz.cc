// Any text as a file of storage profiles: refused, or every profile is https, or http as its rules allow, and places lead to profiles.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "platform/object_store/s3_profile.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto profiles = gptvq::S3Profiles::Parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!profiles.ok()) return 0;
  for (const gptvq::S3Profile& profile : profiles->profiles()) {
    if (profile.endpoint.scheme != "https" && profile.endpoint.scheme != "http") std::abort();
    if (profile.endpoint.host.empty() || profile.region.empty()) std::abort();
  }
  const auto index = profiles->IndexFor("bucket", "prefix");
  if (index.ok() && *index >= profiles->profiles().size()) std::abort();
  return 0;
}
