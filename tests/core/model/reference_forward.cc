#include "tests/core/model/reference_forward.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace gptvq {
namespace {

using Row = std::vector<double>;

Row Normed(const Row& x, const std::vector<float>& weight, double epsilon) {
  double sum = 0;
  for (double value : x) sum += value * value;
  const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + epsilon);
  Row result(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = x[i] * scale * weight[i];
  return result;
}

Rows Normed(const Rows& x, const std::vector<float>& weight, double epsilon) {
  Rows result;
  for (const Row& row : x) result.push_back(Normed(row, weight, epsilon));
  return result;
}

// rows of x times the transpose of tensor "<path>.weight", plus "<path>.bias" where there is one.
Rows Product(const Tensors& tensors, const std::string& path, const Rows& x) {
  const std::vector<float>& weight = tensors.at(path + ".weight");
  const std::size_t cols = x[0].size();
  const auto bias = tensors.find(path + ".bias");
  Rows result;
  for (const Row& row : x) {
    Row& out = result.emplace_back(weight.size() / cols);
    for (std::size_t r = 0; r < out.size(); ++r) {
      for (std::size_t c = 0; c < cols; ++c) out[r] += row[c] * weight[r * cols + c];
      if (bias != tensors.end()) out[r] += bias->second[r];
    }
  }
  return result;
}

Rows Sum(const Rows& a, const Rows& b) {
  Rows result = a;
  for (std::size_t t = 0; t < a.size(); ++t) {
    for (std::size_t c = 0; c < a[t].size(); ++c) result[t][c] += b[t][c];
  }
  return result;
}

// One head of one token: the columns [head * head_dim, (head + 1) * head_dim), normed and turned by its position.
Row TurnedHead(const ModelConfig& config, const Tensors& tensors, const std::string& norm, const Rows& x,
               std::size_t position, int head) {
  const int width = config.head_dim;
  Row z(x[position].begin() + head * width, x[position].begin() + (head + 1) * width);
  if (config.has_head_norms) z = Normed(z, tensors.at(norm), config.rms_norm_epsilon);
  Row turned(width);
  for (int i = 0; i < width / 2; ++i) {
    const double angle = static_cast<double>(position) * std::pow(config.rope_theta, -2.0 * i / width);
    turned[i] = z[i] * std::cos(angle) - z[i + width / 2] * std::sin(angle);
    turned[i + width / 2] = z[i + width / 2] * std::cos(angle) + z[i] * std::sin(angle);
  }
  return turned;
}

Rows Attention(const ModelConfig& config, const Tensors& tensors, int layer, const Rows& x) {
  const std::string path = "model.layers." + std::to_string(layer) + ".self_attn.";
  const Rows q = Product(tensors, path + "q_proj", x);
  const Rows k = Product(tensors, path + "k_proj", x);
  const Rows v = Product(tensors, path + "v_proj", x);
  const int width = config.head_dim;
  const std::int64_t window = config.sliding_windows[layer];
  Rows result(x.size(), Row(config.head_count * width));
  for (int head = 0; head < config.head_count; ++head) {
    const int shared = head / (config.head_count / config.kv_head_count);
    for (std::size_t t = 0; t < x.size(); ++t) {
      const Row query = TurnedHead(config, tensors, path + "q_norm.weight", q, t, head);
      const std::size_t first = window > 0 && t + 1 > static_cast<std::size_t>(window) ? t + 1 - window : 0;
      Row weights;
      double total = 0;
      for (std::size_t s = first; s <= t; ++s) {
        const Row key = TurnedHead(config, tensors, path + "k_norm.weight", k, s, shared);
        double score = 0;
        for (int i = 0; i < width; ++i) score += query[i] * key[i];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(width))));
        total += weights.back();
      }
      for (std::size_t s = first; s <= t; ++s) {
        for (int i = 0; i < width; ++i) {
          result[t][head * width + i] += weights[s - first] / total * v[s][shared * width + i];
        }
      }
    }
  }
  return result;
}

}  // namespace

ReferenceLayerResult ReferenceLayer(const ModelConfig& config, const Tensors& tensors, int layer, const Rows& x) {
  const std::string path = "model.layers." + std::to_string(layer) + ".";
  const double epsilon = config.rms_norm_epsilon;
  ReferenceLayerResult result;
  result.inputs[0] = Normed(x, tensors.at(path + "input_layernorm.weight"), epsilon);
  result.inputs[1] = Attention(config, tensors, layer, result.inputs[0]);
  const Rows residual = Sum(x, Product(tensors, path + "self_attn.o_proj", result.inputs[1]));
  result.inputs[2] = Normed(residual, tensors.at(path + "post_attention_layernorm.weight"), epsilon);
  const Rows gate = Product(tensors, path + "mlp.gate_proj", result.inputs[2]);
  result.inputs[3] = Product(tensors, path + "mlp.up_proj", result.inputs[2]);
  for (std::size_t t = 0; t < x.size(); ++t) {
    for (std::size_t c = 0; c < gate[t].size(); ++c) result.inputs[3][t][c] *= gate[t][c] / (1 + std::exp(-gate[t][c]));
  }
  result.output = Sum(residual, Product(tensors, path + "mlp.down_proj", result.inputs[3]));
  return result;
}

Rows ReferenceEmbedding(const ModelConfig& config, const Tensors& tensors, const std::vector<std::int32_t>& ids) {
  const std::vector<float>& table = tensors.at("model.embed_tokens.weight");
  Rows rows;
  for (std::int32_t id : ids) {
    rows.emplace_back(table.begin() + id * config.hidden_size, table.begin() + (id + 1) * config.hidden_size);
  }
  return rows;
}

std::vector<double> ReferenceNll(const ModelConfig& config, const Tensors& tensors,
                                 const std::vector<std::int32_t>& ids) {
  Rows x = ReferenceEmbedding(config, tensors, ids);
  for (int layer = 0; layer < config.layer_count; ++layer) x = ReferenceLayer(config, tensors, layer, x).output;
  x = Normed(x, tensors.at("model.norm.weight"), config.rms_norm_epsilon);
  const Rows logits = Product(tensors, config.has_tied_embeddings ? "model.embed_tokens" : "lm_head", x);
  std::vector<double> nll;
  for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
    const double max = *std::max_element(logits[t].begin(), logits[t].end());
    double sum = 0;
    for (double logit : logits[t]) sum += std::exp(logit - max);
    nll.push_back(max + std::log(sum) - logits[t][ids[t + 1]]);
  }
  return nll;
}

}  // namespace gptvq
