// The gradient of a linear map's weights, gᵀ x: a product whose long side, the tokens, is summed
// over.
//
// oneDNN walks such a product against the grain of g, at a third of its usual speed. Here pieces
// of TOKENS are laid out anew in blocks of SIDE x SIDE, so that a product reads them straight on.
#pragma once

#include <algorithm>

#include "product.h"

namespace gpt {

constexpr int64_t TOKENS = 256;

// Rows and columns of sums that are kept at once: as floats, half of a core's second cache.
constexpr int64_t PART = 512;

// One strip of SIDE rows, `stride` apart, of which n are there (the others count as zeros), in the
// two layouts of a piece of K rows. `to` is where the strip's own first block lies.

// Its transpose, in blocks of SIDE x SIDE: to[c, r] = from[r, c].
inline void block_transposed(bf16* to, int64_t K, const bf16* from, int64_t stride, int64_t n,
                             int64_t columns) {
  alignas(64) uint16_t even[SIDE], odd[SIDE];
  for (int i = 0; i < SIDE; i++) even[i] = 2 * i, odd[i] = 2 * i + 1;
  const __m512i evens = _mm512_load_si512(even), odds = _mm512_load_si512(odd);
  for (int64_t c = 0; c < columns; c += SIDE) {
    const __mmask32 there = first_of_32(columns - c), none = 0;
    __m512i upper[LANES], lower[LANES];
    for (int i = 0; i < LANES; i++) {
      const bf16* at = from + i * stride + c;
      upper[i] = _mm512_maskz_loadu_epi16(i < n ? there : none, at);
      lower[i] = _mm512_maskz_loadu_epi16(i + LANES < n ? there : none, at + LANES * stride);
    }
    transpose(upper);  // word i: columns 2 i and 2 i + 1
    transpose(lower);
    bf16* block = to + c * K;
    for (int i = 0; i < LANES; i++, block += 2 * SIDE) {
      _mm512_storeu_si512(block, _mm512_permutex2var_epi16(upper[i], evens, lower[i]));
      _mm512_storeu_si512(block + SIDE, _mm512_permutex2var_epi16(upper[i], odds, lower[i]));
    }
  }
}

// Paired, SIDE columns at a time: to[c / SIDE, r / 2, c % SIDE, r % 2] = from[r, c].
inline void block_paired(bf16* to, int64_t K, const bf16* from, int64_t stride, int64_t n,
                         int64_t columns) {
  const __m512i front = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
  const __m512i back = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
  for (int64_t r = 0; r < SIDE; r += 2)
    for (int64_t c = 0; c < columns; c += SIDE) {
      const __mmask32 there = first_of_32(columns - c), none = 0;
      const bf16* at = from + r * stride + c;
      const __m512i a = _mm512_maskz_loadu_epi16(r < n ? there : none, at);
      const __m512i b = _mm512_maskz_loadu_epi16(r + 1 < n ? there : none, at + stride);
      const __m512i low = _mm512_unpacklo_epi16(a, b), high = _mm512_unpackhi_epi16(a, b);
      bf16* pairs = to + c * K + r * SIDE;
      _mm512_storeu_si512(pairs, _mm512_permutex2var_epi64(low, front, high));
      _mm512_storeu_si512(pairs + SIDE, _mm512_permutex2var_epi64(low, back, high));
    }
}

// What follows is called by all threads of a team together, which share the work.

// sums (M, N), in blocks of SIDE x SIDE, = or += the product of pieces of K in the two layouts.
inline void add_products(const Tiles& tiles, float* sums, const bf16* across, const bf16* pairs,
                         int64_t M, int64_t N, int64_t K, bool add) {
  const int64_t width = round_up(N);
#pragma omp for
  for (int64_t m = 0; m < M; m += SIDE)
    for (int64_t c = 0; c < N; c += SIDE)
      product(tiles, {sums + m * width + c * SIDE, SIDE}, {across + m * K, SIDE, SIDE},
              {pairs + c * K, SIDE}, SIDE, SIDE, K, add);
}

// Sums (M, N) in blocks -> rows.
inline void write_sums(Matrix<bf16> out, const float* sums, int64_t M, int64_t N) {
  const int64_t width = round_up(N);
#pragma omp for
  for (int64_t m = 0; m < M; m++)
    for (int64_t c = 0; c < N; c += LANES) {
      const float* block = sums + m / SIDE * SIDE * width + c / SIDE * SIDE * SIDE;
      store(out.data + m * out.stride + c, load(block + m % SIDE * SIDE + c % SIDE), first(N - c));
    }
}

// out (M, N) of g (n, M) and x (n, N); the buffers hold sums for M · N floats in blocks, and a
// piece of g and of x in its layout.
inline void part_of_gradient(const Tiles& tiles, Matrix<bf16> out, Matrix<const bf16> g,
                             Matrix<const bf16> x, int64_t n, int64_t M, int64_t N, float* sums,
                             bf16* across, bf16* pairs) {
  for (int64_t t = 0; t < n; t += TOKENS) {
    const int64_t here = std::min(TOKENS, n - t), K = round_up(here);
#pragma omp for
    for (int64_t r = 0; r < K; r += SIDE) {
      block_transposed(across + r * SIDE, K, g.data + (t + r) * g.stride, g.stride, here - r, M);
      block_paired(pairs + r * SIDE, K, x.data + (t + r) * x.stride, x.stride, here - r, N);
    }
    add_products(tiles, sums, across, pairs, M, N, K, t > 0);
  }
  write_sums(out, sums, M, N);
}

}  // namespace gpt
