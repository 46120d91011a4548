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

// sums (M, N) = or += the product of pieces of K in the two layouts, in blocks of SIDE x SIDE, the
// blocks of SIDE columns together.
inline void add_products(const Tiles& tiles, float* sums, const bf16* across, const bf16* pairs,
                         int64_t M, int64_t N, int64_t K, bool add) {
  const int64_t height = round_up(M);
#pragma omp for
  for (int64_t c = 0; c < N; c += SIDE)
    for (int64_t m = 0; m < M; m += SIDE)
      product(tiles, {sums + c * height + m * SIDE, SIDE}, {across + m * K, SIDE, SIDE},
              {pairs + c * K, SIDE}, SIDE, SIDE, K, add);
}

// Those sums -> rows.
inline void write_sums(bf16* out, const float* sums, int64_t M, int64_t N) {
  const int64_t height = round_up(M);
#pragma omp for
  for (int64_t m = 0; m < M; m++)
    for (int64_t c = 0; c < N; c += LANES) {
      const float* block = sums + c / SIDE * SIDE * height + m / SIDE * SIDE * SIDE;
      store(out + m * N + c, load(block + m % SIDE * SIDE + c % SIDE), first(N - c));
    }
}

// Those sums -> rows of their transpose.
inline void write_transposed(bf16* out, const float* sums, int64_t M, int64_t N) {
  const int64_t height = round_up(M);
#pragma omp for
  for (int64_t c = 0; c < N; c += LANES)
    for (int64_t m = 0; m < M; m += LANES) {
      const float* block = sums + c / SIDE * SIDE * height + m / SIDE * SIDE * SIDE;
      __m512i rows[LANES];
      for (int64_t i = 0; i < LANES; i++)
        rows[i] = _mm512_loadu_si512(block + (m % SIDE + i) * SIDE + c % SIDE);
      transpose(rows);
      for (int64_t i = 0; i < std::min(LANES, N - c); i++)
        store(out + (c + i) * M + m, _mm512_castsi512_ps(rows[i]), first(M - m));
    }
}

// Sums of gᵀ x (M, N), of g (n, M) and x (n, N); the buffers hold pieces of both in their layouts.
inline void sum_products(const Tiles& tiles, float* sums, bf16* across, bf16* pairs, const bf16* g,
                         const bf16* x, int64_t n, int64_t M, int64_t N) {
  for (int64_t t = 0; t < n; t += TOKENS) {
    const int64_t here = std::min(TOKENS, n - t), K = round_up(here);
#pragma omp for
    for (int64_t r = 0; r < K; r += SIDE) {
      block_transposed(across + r * SIDE, K, g + (t + r) * M, M, here - r, M);
      block_paired(pairs + r * SIDE, K, x + (t + r) * N, N, here - r, N);
    }
    add_products(tiles, sums, across, pairs, M, N, K, t > 0);
  }
}

}  // namespace gpt
