// What Python calls (gpt/native/library.py), each shared out among threads.
//
// The OpenMP runtime is the one that torch has loaded, so its threads are torch's.
#include "activation.h"
#include "attention.h"
#include "cross_entropy.h"
#include "gradient.h"

using namespace gpt;

namespace {

Sizes sizes_of(const int64_t* n) {
  return {n[0], n[1], n[2], n[3], round_up(n[2]), round_up(n[3])};
}

// Values that a thread takes at once: whole registers, and enough to be worth its while.
constexpr int64_t PIECE = 1 << 14;

}  // namespace

extern "C" {

int gpt_has_tiles() { return Tiles().here; }

// heads: q, k, v, out; kept: (B, H, 2, T).
void gpt_attention(const Heads* heads, float* kept, float scale, const int64_t* n, int n_threads) {
  const Sizes s = sizes_of(n);
#pragma omp parallel num_threads(n_threads)
  {
    Workspace work(s);
#pragma omp for
    for (int64_t i = 0; i < s.B * s.H; i++) {
      const auto of = [&](int which) { return heads[which].at(i / s.H, i % s.H); };
      float* tops = kept + 2 * i * s.T;
      forward(work, of(0), of(1), of(2), of(3), tops, tops + s.T, scale, s);
    }
  }
}

// heads: q, k, v, out, its gradient, and the gradients of q, k, v.
void gpt_attention_backward(const Heads* heads, const float* kept, float scale, const int64_t* n,
                            int n_threads) {
  const Sizes s = sizes_of(n);
#pragma omp parallel num_threads(n_threads)
  {
    Workspace work(s);
#pragma omp for
    for (int64_t i = 0; i < s.B * s.H; i++) {
      const auto of = [&](int which) { return heads[which].at(i / s.H, i % s.H); };
      const float* tops = kept + 2 * i * s.T;
      backward(work, of(0), of(1), of(2), of(3), of(4), tops, tops + s.T, of(5), of(6), of(7), scale, s);
    }
  }
}

// out (n) = activation(x).
void gpt_activation(bf16* out, const bf16* x, int64_t n, int number, const float* terms, int n_threads) {
  with_activation(number, terms, [&](auto of) {
#pragma omp parallel for num_threads(n_threads)
    for (int64_t start = 0; start < n; start += PIECE)
      for (int64_t i = start; i < std::min(n, start + PIECE); i += LANES)
        store(out + i, of.value(load(x + i, first(n - i))), first(n - i));
  });
}

// grad (n) = grad_out · activation's slope at x.
void gpt_activation_backward(bf16* grad, const bf16* grad_out, const bf16* x, int64_t n, int number,
                             const float* terms, int n_threads) {
  with_activation(number, terms, [&](auto of) {
#pragma omp parallel for num_threads(n_threads)
    for (int64_t start = 0; start < n; start += PIECE)
      for (int64_t i = start; i < std::min(n, start + PIECE); i += LANES) {
        const __m512 slope = of.slope(load(x + i, first(n - i)));
        store(grad + i, _mm512_mul_ps(load(grad_out + i, first(n - i)), slope), first(n - i));
      }
  });
}

// out (M, N) float = gᵀ x of g (n, M) and x (n, N), rows `g_stride` and `x_stride` apart; scratch:
// as many floats as gpt_weight_gradient_scratch says.
void gpt_weight_gradient(float* out, float* scratch, const bf16* g, int64_t g_stride, const bf16* x,
                         int64_t x_stride, int64_t n, int64_t M, int64_t N, int n_threads) {
  const int64_t Mp = round_up(M), Np = round_up(N);
  float* sums = scratch;  // (M / SIDE, N / SIDE) blocks
  auto* across = reinterpret_cast<bf16*>(sums + Mp * Np);
  bf16* pairs = across + TOKENS * Mp;
#pragma omp parallel num_threads(n_threads)
  {
    const Tiles tiles;
    for (int64_t t = 0; t < n; t += TOKENS) {
      const int64_t here = std::min(TOKENS, n - t), K = round_up(here);
#pragma omp for
      for (int64_t r = 0; r < K; r += SIDE) {
        const bf16 *g_rows = g + (t + r) * g_stride, *x_rows = x + (t + r) * x_stride;
        block_transposed(across + r * SIDE, K, g_rows, g_stride, here - r, M);
        block_paired(pairs + r * SIDE, K, x_rows, x_stride, here - r, N);
      }
#pragma omp for
      for (int64_t m = 0; m < Mp; m += SIDE)
        for (int64_t c = 0; c < Np; c += SIDE)
          product(tiles, {sums + m * Np + c * SIDE, SIDE}, {across + m * K, SIDE, SIDE},
                  {pairs + c * K, SIDE}, SIDE, SIDE, K, t > 0);
    }
#pragma omp for
    for (int64_t m = 0; m < M; m++)
      for (int64_t c = 0; c < N; c += LANES) {
        const float* block = sums + m / SIDE * SIDE * Np + c / SIDE * SIDE * SIDE;
        const __m512 values = _mm512_loadu_ps(block + m % SIDE * SIDE + c % SIDE);
        _mm512_mask_storeu_ps(out + m * N + c, first(N - c), values);
      }
  }
}

int64_t gpt_weight_gradient_scratch(int64_t M, int64_t N) {
  return round_up(M) * round_up(N) + TOKENS * (round_up(M) + round_up(N)) / 2;
}

// losses (n), grad (n, V) from logits (n, V), targets and weights (n).
void gpt_cross_entropy(float* losses, bf16* grad, const bf16* logits, const int64_t* targets,
                       const float* weights, int64_t n, int64_t V, int n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    const Buffer<float> powers(V + LANES);
#pragma omp for
    for (int64_t i = 0; i < n; i++)
      losses[i] = cross_entropy(grad + i * V, powers.begin(), logits + i * V, V, targets[i], weights[i]);
  }
}
}
