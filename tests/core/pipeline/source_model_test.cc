#include "core/pipeline/source_model.h"

#include <cstddef>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/format/safetensors_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Adds a shard with `names`, each one byte, and an index of both shards.
void AddShard(const std::vector<std::string>& names, MemoryDirectory& directory) {
  directory.Put("one.safetensors", directory.Take("model.safetensors"));
  std::vector<TensorInfo> tensors;
  for (const std::string& name : names) tensors.push_back({.name = name, .dtype = DType::kU8, .shape = {1}});
  std::unique_ptr<WritableFile> file = directory.Create("two.safetensors").value();
  SafetensorsWriter writer = SafetensorsWriter::Begin(tensors, {}, *file).value();
  ASSERT_TRUE(writer.Append(std::vector<std::byte>(names.size())).ok());
  ASSERT_TRUE(file->Close().ok());

  nlohmann::json index = {{"metadata", nlohmann::json::object()}};
  const Checkpoint one = Checkpoint::OpenFile(directory.Open("one.safetensors").value()).value();
  for (const std::string& name : one.TensorNames()) index["weight_map"][name] = "one.safetensors";
  for (const std::string& name : names) index["weight_map"][name] = "two.safetensors";
  directory.Put("model.safetensors.index.json", index.dump());
}

TEST(SourceModel, AnOrdinaryModelHasNoWarnings) {
  MemoryDirectory directory;
  WriteTinyModel({.layer_count = 1}, directory);

  EXPECT_THAT(SourceModel::Open(directory).value()->Warnings(), IsEmpty());
}

TEST(SourceModel, WarnsOfTensorsThatItDoesNotReadAndOfAnIndexWithoutASize) {
  MemoryDirectory directory;
  WriteTinyModel({.layer_count = 1}, directory);
  AddShard({"adapter.weight"}, directory);

  EXPECT_THAT(SourceModel::Open(directory).value()->Warnings(),
              ElementsAre(HasSubstr("total_size"), HasSubstr("keeps unchanged: adapter.weight")));
}

TEST(SourceModel, NamesADozenOfManyUnreadTensors) {
  MemoryDirectory directory;
  WriteTinyModel({.layer_count = 1}, directory);
  std::vector<std::string> names;
  for (int i = 10; i < 30; ++i) names.push_back("adapter." + std::to_string(i));
  AddShard(names, directory);

  EXPECT_THAT(SourceModel::Open(directory).value()->Warnings().back(),
              AllOf(HasSubstr("adapter.10, adapter.11"), HasSubstr("adapter.21 and 8 more tensors")));
}

}  // namespace
}  // namespace gptvq
