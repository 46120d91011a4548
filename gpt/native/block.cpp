// Whole blocks, forward and backward: what is in kernels.cpp, one after another, without a way
// through Python and torch between two of them. A block is
//
//   h1 = norm(x), x1 = x + W_o attention(turn(W_qkv h1)), h2 = norm(x1), out = x1 + mlp(h2)
//
// Matrices are without biases. Letters: n = B · T tokens, C = H · D channels, M hidden ones, L
// blocks.
#include <utility>

#include "buffer.h"
#include "kernels.h"
#include "lanes.h"
#include "product.h"

using namespace gpt;

namespace {

// out (n) = a + b.
void add(bf16* out, const bf16* a, const bf16* b, int64_t n, int n_threads) {
#pragma omp parallel for num_threads(n_threads)
  for (int64_t i = 0; i < n; i += LANES) store(out + i, _mm512_add_ps(load(a + i), load(b + i)));
}

// Of one block, in the order of its parameters; or their gradients.
template <class T>
struct Weights {
  static constexpr int64_t N = 6;
  T *attention_norm, *qkv, *projection, *mlp_norm, *expand, *project;

  explicit Weights(T* const* each)
      : attention_norm(each[0]),
        qkv(each[1]),
        projection(each[2]),
        mlp_norm(each[3]),
        expand(each[4]),
        project(each[5]) {}
};

template <class T>
Weights<T> of_block(T* const* all, int64_t block) {
  return Weights<T>(all + block * Weights<T>::N);
}

// As gpt/native/block.py fills it.
struct Settings {
  const bf16 *cos, *sin;  // (T, D / 2), or null: no turn
  const float* gelu;
  int64_t L, B, T, H, D, M;
  float scale, norm_epsilon, turn_epsilon;
  int centered, turn_norm, activation, int8;
};

struct Call : Settings {
  int n_threads;

  int64_t n() const { return B * T; }
  int64_t C() const { return H * D; }
  bool turns() const { return cos || turn_norm; }

  void linear(bf16* out, const bf16* x, const bf16* weight, int64_t rows, int64_t columns) const {
    (int8 ? gpt_linear_int8 : gpt_linear)(out, x, weight, n(), rows, columns, n_threads);
  }
  void linear_backward(bf16* grad_x, bf16* grad_weight, const bf16* grad_out, const bf16* x,
                       const bf16* weight, int64_t rows, int64_t columns) const {
    (int8 ? gpt_linear_int8_backward : gpt_linear_backward)(grad_x, grad_weight, grad_out, x,
                                                            weight, n(), rows, columns, n_threads);
  }
};

// What the forward pass of a block keeps for the backward pass, in a tensor of its own
// (gpt/native/block.py has their sizes): x is the input of the blocks, and what goes into a later
// one is kept with it. `active` is there in int8 alone, where hidden is no rows longer than the
// tokens.
struct Kept {
  const bf16* x;
  bf16 *input, *h1, *qkv, *turned, *attended, *x1, *h2, *hidden, *active;
  float *norm1, *norm2, *attention;

  Kept(int64_t block, const bf16* x, bf16* const* all_values, float* all_numbers, const Call& s) {
    const int64_t n = s.n(), size = n * s.C();
    bf16* values = all_values[block];
    const auto take = [&](int64_t n) { return std::exchange(values, values + n); };
    input = block > 0 ? take(size) : nullptr;
    this->x = block > 0 ? input : x;
    h1 = take(size);
    qkv = take(3 * size);
    turned = s.turns() ? take(3 * size) : qkv;
    attended = take(size);
    x1 = take(size);
    h2 = take(size);
    hidden = take((s.int8 ? n : round_up(n)) * s.M);
    active = s.int8 ? take(n * s.M) : nullptr;
    norm1 = all_numbers + block * (4 + 2 * s.H) * n;
    norm2 = norm1 + 2 * n;
    attention = norm2 + 2 * n;
  }
};

void forward(bf16* out, const Kept& kept, const Weights<const bf16>& w, const Call& s) {
  const int64_t n = s.n(), C = s.C();
  const bf16* const x = kept.x;
  gpt_norm(kept.h1, kept.norm1, x, w.attention_norm, n, C, s.norm_epsilon, s.centered,
           s.n_threads);
  s.linear(kept.qkv, kept.h1, w.qkv, 3 * C, C);
  if (s.turns())
    gpt_turn(kept.turned, kept.qkv, s.cos, s.sin, n, s.T, s.H, s.D, s.turn_epsilon, s.turn_norm,
             s.n_threads);
  gpt_attention(kept.attended, kept.attention, kept.turned, s.scale, s.B, s.T, s.H, s.D,
                s.n_threads);
  s.linear(kept.x1, kept.attended, w.projection, C, C);
  add(kept.x1, kept.x1, x, n * C, s.n_threads);
  gpt_norm(kept.h2, kept.norm2, kept.x1, w.mlp_norm, n, C, s.norm_epsilon, s.centered,
           s.n_threads);
  if (s.int8) {
    s.linear(kept.hidden, kept.h2, w.expand, s.M, C);
    gpt_activation(kept.active, kept.hidden, n * s.M, s.activation, s.gelu, s.n_threads);
    s.linear(out, kept.active, w.project, C, s.M);
  } else {
    gpt_mlp(out, kept.hidden, kept.h2, w.expand, w.project, n, C, s.M, s.activation, s.gelu,
            s.n_threads);
  }
  add(out, out, kept.x1, n * C, s.n_threads);
}

void backward(bf16* grad_x, const Weights<bf16>& grads, const bf16* grad_out, const Kept& kept,
              const Weights<const bf16>& w, const Call& s) {
  const int64_t n = s.n(), C = s.C();
  const bf16* const x = kept.x;
  const Buffer<bf16> narrow(n * C), other(n * C), to_x1(n * C), wide(3 * n * C);
  if (s.int8) {
    const Buffer<bf16> hidden(n * s.M);
    s.linear_backward(hidden.begin(), grads.project, grad_out, kept.active, w.project, C, s.M);
    gpt_activation_backward(hidden.begin(), hidden.begin(), kept.hidden, n * s.M, s.activation,
                            s.gelu, s.n_threads);
    s.linear_backward(narrow.begin(), grads.expand, hidden.begin(), kept.h2, w.expand, s.M, C);
  } else {
    gpt_mlp_backward(narrow.begin(), grads.expand, grads.project, grad_out, kept.h2, kept.hidden,
                     w.expand, w.project, n, C, s.M, s.activation, s.gelu, s.n_threads);
  }
  gpt_norm_backward(to_x1.begin(), grads.mlp_norm, narrow.begin(), kept.x1, w.mlp_norm, kept.norm2,
                    n, C, s.centered, s.n_threads);
  add(to_x1.begin(), to_x1.begin(), grad_out, n * C, s.n_threads);
  s.linear_backward(narrow.begin(), grads.projection, to_x1.begin(), kept.attended, w.projection,
                    C, C);
  gpt_attention_backward(wide.begin(), narrow.begin(), kept.turned, kept.attended, kept.attention,
                         s.scale, s.B, s.T, s.H, s.D, s.n_threads);
  const bf16* to_qkv = wide.begin();
  const Buffer<bf16> turned_back(s.turns() ? 3 * n * C : 0);
  if (s.turns()) {
    gpt_turn_backward(turned_back.begin(), to_qkv, kept.qkv, s.cos, s.sin, n, s.T, s.H, s.D,
                      s.turn_epsilon, s.turn_norm, s.n_threads);
    to_qkv = turned_back.begin();
  }
  s.linear_backward(narrow.begin(), grads.qkv, to_qkv, kept.h1, w.qkv, 3 * C, C);
  gpt_norm_backward(other.begin(), grads.attention_norm, narrow.begin(), x, w.attention_norm,
                    kept.norm1, n, C, s.centered, s.n_threads);
  add(grad_x, other.begin(), to_x1.begin(), n * C, s.n_threads);
}

}  // namespace

extern "C" {

// out (B, T, C) and what is kept, of x and the weights in their order, block after block.
void gpt_blocks(bf16* out, bf16* const* values, float* numbers, const bf16* x,
                const bf16* const* weights, const Settings* settings, int n_threads) {
  const Call s{*settings, n_threads};
  for (int64_t i = 0; i < s.L; i++) {
    bf16* const to = i + 1 < s.L ? Kept(i + 1, x, values, numbers, s).input : out;
    forward(to, Kept(i, x, values, numbers, s), of_block(weights, i), s);
  }
}

// The gradients of x and the weights, of grad_out and what gpt_blocks had and gave.
void gpt_blocks_backward(bf16* grad_x, bf16* const* grads, const bf16* grad_out,
                         bf16* const* values, float* numbers, const bf16* x,
                         const bf16* const* weights, const Settings* settings, int n_threads) {
  const Call s{*settings, n_threads};
  const int64_t size = s.n() * s.C();
  const Buffer<bf16> between(s.L > 1 ? 2 * size : 0);
  for (int64_t i = s.L - 1; i >= 0; i--) {
    bf16* const grad = i > 0 ? between.begin() + i % 2 * size : grad_x;
    backward(grad, of_block(grads, i), grad_out, Kept(i, x, values, numbers, s),
             of_block(weights, i), s);
    grad_out = grad;
  }
}
}
