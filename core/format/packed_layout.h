#ifndef GPTVQ_CORE_FORMAT_PACKED_LAYOUT_H_
#define GPTVQ_CORE_FORMAT_PACKED_LAYOUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// What a reader must know beside the tensors of a packed linear: the part of a QuantSpec that shapes its bytes
// (docs/format.md section 7.3). Plain values.

enum class CodebookKind { kInt8, kFp16, kSvd };

struct VectorLayout {
  int vector_dim = 0;
  int index_bits = 0;
  std::int64_t group_weights = 0;
  int columns_per_group = 0;
  CodebookKind codebook = CodebookKind::kInt8;
  int svd_rank = 0;             // 0 unless kSvd
  int block_scale_columns = 0;  // 0: no block scales

  friend bool operator==(const VectorLayout&, const VectorLayout&) = default;
};

struct UniformLayout {
  int bits = 0;
  int group_columns = 0;
  bool permuted = false;

  friend bool operator==(const UniformLayout&, const UniformLayout&) = default;
};

using PackedLayout = std::variant<VectorLayout, UniformLayout>;

// The layout of what `spec` produces. Precondition: spec.Validate() is OK.
PackedLayout LayoutOf(const QuantSpec& spec);

// InvalidArgument naming the field and what is allowed.
absl::Status ValidateLayout(const PackedLayout& layout);

// A spec whose geometry is that of `layout`, to hand to GroupLayout::Make. Fields that shape no byte keep their defaults.
QuantSpec GeometrySpec(const VectorLayout& layout);

// One packed linear: a module of the model whose weight is stored as codes.
struct PackedModule {
  std::string name;  // the weight's tensor name without ".weight"
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  PackedLayout layout;

  friend bool operator==(const PackedModule&, const PackedModule&) = default;
};

// The packed linears of an artifact or a result.
struct PackedModules {
  PackedLayout layout;                // of modules that state none of their own
  std::vector<PackedModule> modules;  // in byte order of their names, each once

  friend bool operator==(const PackedModules&, const PackedModules&) = default;
};

// The JSON object {"layout": ..., "modules": ...} of docs/format.md section 7.2, without white space, keys in byte order.
std::string PackedModulesText(const PackedModules& modules);

// The inverse; other keys of the object are ignored. Errors: InvalidArgument naming the module and the key,
// or above 64 MiB.
absl::StatusOr<PackedModules> ParsePackedModules(std::string_view text);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_PACKED_LAYOUT_H_
