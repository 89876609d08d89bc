#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/report/job_report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/reports.h"

namespace gptvq {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(TextReport, NumbersComeFromTheReport) {
  const std::string text = TextReport(AReport(2));

  EXPECT_THAT(text, HasSubstr("job                job-0123456789abcdef  succeeded\n"));
  EXPECT_THAT(text, HasSubstr("model              file:///models/tiny\n"));
  EXPECT_THAT(text, HasSubstr("output             file:///results/tiny-vq\n"));
  EXPECT_THAT(text, HasSubstr("preset             2d-3.125bpv, sequential, 16 x 1024 tokens, seed 7\n"));
  EXPECT_THAT(text, HasSubstr("bits per value     3.1840 = 3.0000 indices + 0.1200 codebooks + 0.0600 scales + "
                              "0.0040 permutation\n"));
  EXPECT_THAT(text, HasSubstr("output size        123.5 MB\n"));
  EXPECT_THAT(text, HasSubstr("perplexity source  10.0000\n"));
  EXPECT_THAT(text, HasSubstr("perplexity now     10.5000  (+5.00 %)\n"));
  EXPECT_THAT(text, HasSubstr("over 4096 held-out tokens\n"));
  EXPECT_THAT(text, HasSubstr("relative error     0.02500 mean of 4 linears\n"));
  EXPECT_THAT(text, HasSubstr("  largest          0.04000 model.layers.1.mlp.down_proj\n"));
  EXPECT_THAT(text, HasSubstr("audits             3 agreed, 1 given_up\n"));
  EXPECT_THAT(text, HasSubstr("wall time          98.7 s\n"));
  EXPECT_THAT(text, HasSubstr("worker seconds          1.5 load\n"));
  EXPECT_THAT(text, HasSubstr("   60.2 quantize\n"));
  EXPECT_THAT(text, HasSubstr("manifest sha256    " + DigestOf("manifest").hex() + "\n"));
}

TEST(TextReport, NamesTheFiveLargestErrorsInOrder) {
  const std::string text = TextReport(AReport(4));  // errors 0.01 to 0.08

  std::size_t last = 0;
  for (const char* error : {"0.08000 model.layers.3.mlp.down_proj", "0.07000 model.layers.3.self_attn.q_proj",
                            "0.06000 ", "0.05000 ", "0.04000 "}) {
    const std::size_t here = text.find(error, last);
    ASSERT_NE(here, std::string::npos) << error;
    last = here;
  }
  EXPECT_THAT(text, Not(HasSubstr("0.03000 model")));
}

TEST(TextReport, LeavesOutWhatIsNotKnownYet) {
  Report report;
  report.job_id = "job-0123456789abcdef";
  report.spec = AJobSpec();

  const std::string text = TextReport(report);

  for (const char* label : {"bits", "size", "perplexity", "error", "audits", "worker", "manifest"}) {
    EXPECT_THAT(text, Not(HasSubstr(label)));
  }
  EXPECT_THAT(text, HasSubstr("job-0123456789abcdef  pending"));
}

TEST(TextReport, LinesAreForAScreenOfAHundredColumns) {
  Report report = AReport(2);
  report.bits.weights = 7'000'000'000;

  for (const std::string& line : std::vector<std::string>(absl::StrSplit(TextReport(report), '\n'))) {
    EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST(TextReport, SendsNoCommandsToATerminal) {
  Report report = AReport(1);
  report.job_id = kHostileName;
  report.spec.model_uri = report.spec.output_uri = report.spec.preset = kHostileName;
  report.linears[0].name = kHostileName;

  const std::string text = TextReport(report);

  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_THAT(text, HasSubstr("?[2J"));
}

TEST(MeanRelativeError, IsTheArithmeticMean) {
  EXPECT_EQ(MeanRelativeError(AReport(0)), std::nullopt);
  EXPECT_DOUBLE_EQ(MeanRelativeError(AReport(2)).value(), 0.025);
}

TEST(BitsPerWeight, IsZeroWhileNothingIsQuantized) {
  EXPECT_EQ(BitsPerWeight(Report(), 8), 0);
  EXPECT_DOUBLE_EQ(BitsPerWeight(AReport(1), 3000), 3);
}

}  // namespace
}  // namespace gptvq
