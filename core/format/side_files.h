#ifndef GPTVQ_CORE_FORMAT_SIDE_FILES_H_
#define GPTVQ_CORE_FORMAT_SIDE_FILES_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/sha256.h"

namespace gptvq {

// True for files of a model directory that hold no weights and are not written anew: tokenizer, generation config, chat
// template, licence (docs/format.md section 3.6).
bool IsSideFile(std::string_view file_name);

// Copies the side files of `source` byte for byte. Returns their digests by name.
// Errors: those of the two directories, naming the file.
absl::StatusOr<std::map<std::string, Digest>> CopySideFiles(const ReadableDirectory& source, WritableDirectory& target);

// Writes a small file. Returns its digest. Errors: those of WritableDirectory, naming the file.
absl::StatusOr<Digest> WriteSmallFile(std::string_view file_name, std::string_view contents, WritableDirectory& target);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_SIDE_FILES_H_
