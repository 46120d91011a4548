// A linear map of tokens in int8, forward and backward: x Wᵀ, and g W with gᵀ x.
//
// Each product has scales of its own: a token's and a row's of W, a token's and a column's of W,
// and over tokens, a piece of them at a time, a column's of g and of x. Sides of matrices are
// multiples of SIDE.
#pragma once

#include "gradient.h"
#include "int8.h"

namespace gpt {

// A row of sums times its scale and those of the columns -> a row of numbers.
inline void write_scaled(bf16* to, __m512 left, __m512 right, float scale, const float* scales) {
  const __m512 by = _mm512_set1_ps(scale);
  store(to, _mm512_mul_ps(left, _mm512_mul_ps(by, load(scales))));
  store(to + LANES, _mm512_mul_ps(right, _mm512_mul_ps(by, load(scales + LANES))));
}

// n rows of `out`, `stride` apart, = as many tokens (K) times the columns of the matrix, N of
// them; `rows` are a workspace. Meanwhile the next tokens come nearer.
inline void multiply_strip(bf16* out, int64_t stride, const bf16* tokens, const Int8Matrix& rows,
                           const Int8Matrix& matrix, int64_t n, int64_t N, int64_t K) {
  const Scaled strip = rows.strip(0);
  bf16 nowhere[SIDE];
  quantize_rows(strip, tokens, n, K);
  const bf16* next = tokens + SIDE * K;
  const int64_t share = round_up(SIDE * K * SIDE / N);
  for (int64_t c = 0; c < N; c += SIDE, next += share) {
    for (int64_t i = 0; i < share; i += 32) _mm_prefetch((const char*)(next + i), _MM_HINT_T1);
    const Scaled columns = matrix.strip(c);
    multiply({strip.bytes, K, 4}, columns, K, [&](int64_t r, __m512 left, __m512 right) {
      bf16* const to = r < n ? out + r * stride + c : nowhere;
      write_scaled(to, left, right, strip.scales[r], columns.scales);
    });
  }
}

// out (n, N) = tokens (n, K) times the columns of the matrix, by all threads of a team.
inline void multiply_tokens(bf16* out, const bf16* tokens, const Int8Matrix& matrix, int64_t n,
                            int64_t N, int64_t K) {
  const Int8Matrix rows(SIDE, K);
#pragma omp for
  for (int64_t t = 0; t < n; t += SIDE)
    multiply_strip(out + t * N, N, tokens + t * K, rows, matrix, std::min(SIDE, n - t), N, K);
}

// The strips of W (M, C) for x Wᵀ.
inline void quantize_for_forward(const Int8Matrix& to, const bf16* weight, int64_t M, int64_t C) {
#pragma omp for
  for (int64_t m = 0; m < M; m += SIDE) quantize_across(to.strip(m), weight + m * C, C);
}

// The strips of all columns of n rows: of W for g W; or of tokens, that are summed over.
inline void quantize_all_columns(const Int8Matrix& to, const bf16* from, int64_t n, int64_t N,
                                 int raised) {
  constexpr int STRIPS = 4;  // whose lines lie together
#pragma omp for
  for (int64_t start = 0; start < N; start += STRIPS * SIDE) {
    const int64_t end = std::min(N, start + STRIPS * SIDE);
    __m512i most[STRIPS];
    if (end - start == STRIPS * SIDE)
      greatest_of_columns<STRIPS>(most, from + start, N, n);
    else
      for (int64_t c = start; c < end; c += SIDE)
        greatest_of_columns<1>(most + (c - start) / SIDE, from + c, N, n);
    for (int64_t c = start; c < end; c += SIDE)
      quantize_columns(to.strip(c), from, most[(c - start) / SIDE], N, c, n, raised);
  }
}

// sums (M, C) += gᵀ x, of quantized columns of K tokens.
inline void add_int8_products(float* sums, const Int8Matrix& g, const Int8Matrix& x, int64_t M,
                              int64_t C, int64_t K, Offsets offsets = WITH_OFFSETS) {
#pragma omp for
  for (int64_t m = 0; m < M; m += SIDE)
    for (int64_t c = 0; c < C; c += SIDE) {
      const Scaled rows = g.strip(m), columns = x.strip(c, offsets);
      multiply({rows.bytes, 4, 4 * SIDE}, columns, K, [&](int64_t r, __m512 left, __m512 right) {
        float* const to = sums + (m + r) * C + c;
        const __m512 by = _mm512_set1_ps(rows.scales[r]);
        const __m512 by_left = _mm512_mul_ps(by, load(columns.scales));
        const __m512 by_right = _mm512_mul_ps(by, load(columns.scales + LANES));
        store(to, _mm512_fmadd_ps(left, by_left, load(to)));
        store(to + LANES, _mm512_fmadd_ps(right, by_right, load(to + LANES)));
      });
    }
}

// n sums -> bfloat16.
inline void round_all(bf16* out, const float* sums, int64_t n) {
#pragma omp for
  for (int64_t i = 0; i < n; i += LANES) store(out + i, load(sums + i));
}

}  // namespace gpt
