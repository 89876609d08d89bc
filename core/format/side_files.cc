#include "core/format/side_files.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "core/base/status_macros.h"
#include "core/format/file_digest.h"
#include "core/format/quantization_config.h"

namespace gptvq {
namespace {

// Weights in this and other formats, and their indexes; what we write ourselves.
constexpr const char* kOtherSuffixes[] = {".safetensors", ".safetensors.index.json",
                                          ".bin",         ".bin.index.json",
                                          ".pt",          ".pth",
                                          ".ckpt",        ".h5",
                                          ".msgpack",     ".gguf",
                                          ".onnx",        ".npz"};

absl::StatusOr<Digest> CopyOne(const RandomAccessFile& source, std::unique_ptr<WritableFile> target) {
  DigestingFile digesting(std::move(target));
  GPTVQ_RETURN_IF_ERROR(CopyFile(source, digesting));
  GPTVQ_RETURN_IF_ERROR(digesting.Close());
  return digesting.digest();
}

}  // namespace

bool IsSideFile(std::string_view file_name) {
  const absl::string_view name(file_name.data(), file_name.size());
  if (file_name == kConfigFile || absl::StartsWith(name, ".") || absl::StartsWith(name, "gptvq_")) return false;
  return std::none_of(std::begin(kOtherSuffixes), std::end(kOtherSuffixes),
                      [name](const char* suffix) { return absl::EndsWith(name, suffix); });
}

absl::StatusOr<std::map<std::string, Digest>> CopySideFiles(const ReadableDirectory& source,
                                                            WritableDirectory& target) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, source.List());
  std::map<std::string, Digest> files;
  for (const std::string& name : names) {
    if (!IsSideFile(name)) continue;
    GPTVQ_ASSIGN_OR_RETURN(const auto from, source.Open(name));
    GPTVQ_ASSIGN_OR_RETURN(auto to, target.Create(name));
    auto digest = CopyOne(*from, std::move(to));
    if (!digest.ok()) return WithContext(digest.status(), name);
    files[name] = *digest;
  }
  return files;
}

absl::StatusOr<Digest> WriteSmallFile(std::string_view file_name, std::string_view contents,
                                      WritableDirectory& target) {
  GPTVQ_ASSIGN_OR_RETURN(auto file, target.Create(file_name));
  GPTVQ_RETURN_IF_ERROR(WithContext(file->Append(AsBytes(contents)), file_name));
  GPTVQ_RETURN_IF_ERROR(WithContext(file->Close(), file_name));
  return Digest::Of(AsBytes(contents));
}

}  // namespace gptvq
