// Any bytes as a safetensors file: the reader refuses them or every tensor can be read in full, and what it read, written
// again, reads the same.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/format/checkpoint.h"
#include "core/format/safetensors_writer.h"

namespace gptvq {
namespace {

std::string Rewrite(const SafetensorsReader& reader) {
  std::vector<TensorInfo> infos;
  for (const StoredTensor& tensor : reader.tensors()) infos.push_back(tensor.info);
  MemoryDirectory directory;
  auto file = directory.Create("rewritten");
  auto writer = SafetensorsWriter::Begin(infos, reader.metadata(), **file);
  if (!writer.ok()) std::abort();
  for (const TensorInfo& info : writer->order()) {
    std::vector<std::byte> bytes(info.byte_count());
    if (!reader.Read(*reader.Find(info.name), 0, absl::MakeSpan(bytes)).ok()) std::abort();
    if (!writer->Append(bytes).ok()) std::abort();
  }
  if (!writer->Finish().ok() || !(*file)->Close().ok()) std::abort();
  return *ReadWholeFile(**directory.Open("rewritten"), UINT64_MAX);
}

void Run(std::string bytes) {
  const auto reader = SafetensorsReader::Open(std::make_unique<MemoryFile>("input", std::move(bytes)));
  if (!reader.ok()) return;
  const std::string once = Rewrite(*reader);
  const auto again = SafetensorsReader::Open(std::make_unique<MemoryFile>("rewritten", once));
  if (!again.ok() || Rewrite(*again) != once) std::abort();
}

}  // namespace
}  // namespace gptvq

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gptvq::Run(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
