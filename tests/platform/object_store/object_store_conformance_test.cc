// The object stores that need no server.

#include "tests/platform/object_store/object_store_conformance.h"
#include "platform/object_store/local_object_store.h"
#include "tests/support/memory_object_store.h"

namespace gptvq {
namespace {

std::unique_ptr<ObjectStore> MakeLocal(const TemporaryDirectory& directory, ConfinedDirectory::Resolver resolver) {
  return std::make_unique<LocalObjectStore>(ConfinedDirectory::Open(directory.path(), resolver).value());
}

INSTANTIATE_TEST_SUITE_P(
    All, ObjectStoreConformance,
    testing::Values(
        ObjectStoreImplementation{"Memory", [](const auto&) { return std::make_unique<MemoryObjectStore>(); }},
        ObjectStoreImplementation{"Local",
                                  [](const auto& d) { return MakeLocal(d, ConfinedDirectory::Resolver::kBest); }},
        ObjectStoreImplementation{"LocalWithoutOpenat2",
                                  [](const auto& d) { return MakeLocal(d, ConfinedDirectory::Resolver::kWalk); }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq
