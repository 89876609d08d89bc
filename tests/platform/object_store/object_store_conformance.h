#ifndef GPTVQ_TESTS_PLATFORM_OBJECT_STORE_OBJECT_STORE_CONFORMANCE_H_
#define GPTVQ_TESTS_PLATFORM_OBJECT_STORE_OBJECT_STORE_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "platform/object_store/object_store.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {

// What an open file reads after its object was replaced or deleted.
enum class OldObjects { kStayReadable, kFailToRead };

struct ObjectStoreImplementation {
  std::string name;
  // An empty store; the directory is new, and so is its name.
  std::function<std::unique_ptr<ObjectStore>(const TemporaryDirectory&)> make;
  OldObjects old_objects = OldObjects::kStayReadable;
};

// What every ObjectStore must do (object_store_conformance.cc). A new implementation adds an INSTANTIATE_TEST_SUITE_P.
class ObjectStoreConformance : public testing::TestWithParam<ObjectStoreImplementation> {
 protected:
  absl::Status Put(std::string_view key, std::string_view contents);
  // The contents of an object, or the error as text.
  std::string Get(std::string_view key);

  TemporaryDirectory directory_;
  std::unique_ptr<ObjectStore> store_ = GetParam().make(directory_);
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_PLATFORM_OBJECT_STORE_OBJECT_STORE_CONFORMANCE_H_
