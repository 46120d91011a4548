// A linear map of tokens, forward and backward: x Wᵀ, and g W with gᵀ x.
//
// SIDE tokens at a time are multiplied by the whole matrix, laid out once as products read it, and
// in squares of SIDE x SIDE, so that what follows a product finds its sums in the first cache.
// Sides of matrices are multiples of SIDE.
#pragma once

#include "buffer.h"
#include "gradient.h"
#include "product.h"

namespace gpt {

// For each SIDE columns of A (SIDE, K) · B (K, N), B in strips of SIDE columns: calls `use` with
// the first of them and their sums.
template <class Use>
void each_square(const Tiles& tiles, Matrix<const bf16> a, const bf16* b, int64_t N, int64_t K,
                 Use use) {
  alignas(64) float sums[SIDE * SIDE];
  for (int64_t c = 0; c < N; c += SIDE) {
    product(tiles, {sums, SIDE}, a, {b + c * K, SIDE}, SIDE, SIDE, K);
    use(c, sums);
  }
}

// A square of sums -> rows of bfloat16, n of which are there.
inline void write_square(bf16* to, int64_t stride, const float* sums, int64_t n) {
  for (int64_t r = 0; r < std::min(SIDE, n); r++)
    for (int64_t c = 0; c < SIDE; c += LANES)
      store(to + r * stride + c, load(sums + r * SIDE + c));
}

// A matrix (rows, columns) so that products with its transpose read it: strips of SIDE rows, each
// of them transposed and paired.
inline void lay_across(bf16* to, const bf16* from, int64_t rows, int64_t columns) {
#pragma omp for
  for (int64_t r = 0; r < rows; r += SIDE)
    pair_transposed(to + r * columns, from + r * columns, SIDE, columns);
}

// The same for products with it as it stands: strips of SIDE columns, each of them paired.
inline void lay_along(bf16* to, const bf16* from, int64_t rows, int64_t columns) {
#pragma omp for
  for (int64_t r = 0; r < rows; r += SIDE)
    block_paired(to + r * SIDE, rows, from + r * columns, columns, SIDE, columns);
}

// out (n, M) of x (n, C), by all threads of a team; weight (M, C) is laid across.
inline void linear(const Tiles& tiles, bf16* out, const bf16* x, const bf16* weight, int64_t n,
                   int64_t M, int64_t C) {
  const Buffer<bf16> rows(SIDE * C);
#pragma omp for
  for (int64_t t = 0; t < n; t += SIDE) {
    const int64_t here = std::min(SIDE, n - t);
    copy_padded(rows.begin(), SIDE, x + t * C, C, here, C);
    const auto written = [&](int64_t m, const float* sums) {
      write_square(out + t * M + m, M, sums, here);
    };
    each_square(tiles, {rows.begin(), C}, weight, M, C, written);
  }
}

// A piece of tokens as products over tokens read it, and the sums of those products.
struct LinearWorkspace {
  Buffer<bf16> g_across, x_pairs;
  Buffer<float> to_weight;

  LinearWorkspace(int64_t M, int64_t C)
      : g_across(TOKENS * M), x_pairs(TOKENS * C), to_weight(M * C) {}
};

// The gradient of x, and the sums of the matrix's; weight (M, C) is laid along.
inline void linear_backward(const Tiles& tiles, const LinearWorkspace& work, bf16* grad_x,
                            const bf16* grad_out, const bf16* x, const bf16* weight, int64_t n,
                            int64_t M, int64_t C) {
  const Buffer<bf16> rows(SIDE * M);
  for (int64_t start = 0; start < n; start += TOKENS) {
    const int64_t K = round_up(std::min(TOKENS, n - start));
#pragma omp for
    for (int64_t r = 0; r < K; r += SIDE) {
      const int64_t t = start + r, here = std::min(SIDE, n - t);
      const bf16* g = grad_out + t * M;
      copy_padded(rows.begin(), SIDE, g, M, here, M);
      block_transposed(work.g_across.begin() + r * SIDE, K, g, M, here, M);
      block_paired(work.x_pairs.begin() + r * SIDE, K, x + t * C, C, here, C);
      const auto written = [&](int64_t c, const float* sums) {
        write_square(grad_x + t * C + c, C, sums, here);
      };
      each_square(tiles, {rows.begin(), M}, weight, C, M, written);
    }
    add_products(tiles, work.to_weight.begin(), work.g_across.begin(), work.x_pairs.begin(), M, C,
                 K, start > 0);
  }
}

}  // namespace gpt
