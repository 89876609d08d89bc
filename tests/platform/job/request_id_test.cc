#include "platform/job/request_id.h"

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(RequestId, IsALowerCaseUuid) { EXPECT_TRUE(IsRequestId("0f8fad5b-d9cb-469f-a165-70867728950e")); }

TEST(RequestId, IsNothingElse) {
  for (const char* text : {"", "x", "0F8FAD5B-D9CB-469F-A165-70867728950E", "0f8fad5bd9cb469fa16570867728950e",
                           "0f8fad5b-d9cb-469f-a165-70867728950", "0f8fad5b-d9cb-469f-a165-70867728950e0",
                           "0f8fad5b-d9cb-469f-a165-70867728950g", "0f8fad5bd-9cb-469f-a165-70867728950e",
                           "../../../../../../../../../../../etc"}) {
    EXPECT_FALSE(IsRequestId(text)) << text;
  }
}

}  // namespace
}  // namespace gptvq
