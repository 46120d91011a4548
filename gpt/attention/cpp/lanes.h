// Sixteen floats at a time: bfloat16 in and out of a register, 2^x, and the ways to lay rows out.
//
// "Paired" is the layout that the processor's bfloat16 products read: rows r and r + 1 of a matrix
// beside each other, value by value, so that (rows, columns) becomes (rows / 2, columns, 2).
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace gpt {

using bf16 = uint16_t;

constexpr int64_t LANES = 16;

// The first n lanes of 16, or of 32.
inline __mmask16 first(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : (1u << n) - 1; }
inline __mmask32 first_of_32(int64_t n) { return n >= 32 ? ~0u : n <= 0 ? 0 : (1u << n) - 1; }

inline __m512 widened(__m256i values) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
}
inline __m512 load(const bf16* from) {
  return widened(_mm256_loadu_si256((const __m256i*)from));
}
inline __m512 load(const bf16* from, __mmask16 which) {
  return widened(_mm256_maskz_loadu_epi16(which, from));
}
inline void store(bf16* to, __m512 x) {
  _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(x));
}
inline void store(bf16* to, __m512 x, __mmask16 which) {
  _mm256_mask_storeu_epi16(to, which, (__m256i)_mm512_cvtneps_pbh(x));
}
// 2^x within 4e-6 of itself: a whole power of two times a polynomial of the rest, |t| <= 1/2, that
// meets 2^t at Chebyshev's five points.
inline __m512 exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 t = _mm512_sub_ps(x, whole);
  __m512 y = _mm512_set1_ps(9.66636852e-3f);
  y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(5.59219758e-2f));
  y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(2.40223490e-1f));
  y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(6.93121045e-1f));
  y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, whole);
}

// a0 b0 a1 b1 ...
inline __m512i paired(__m512 a, __m512 b) {
  const __m256i low = (__m256i)_mm512_cvtneps_pbh(a), high = (__m256i)_mm512_cvtneps_pbh(b);
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                         _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

// 16 x 16 words of 32 bits: rows become columns.
inline void transpose(__m512i rows[LANES]) {
  __m512i t[LANES];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; i++) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

// (rows, columns) -> paired.
inline void pair(bf16* to, const bf16* from, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r += 2)
    for (int64_t c = 0; c < columns; c += LANES) {
      const bf16* at = from + r * columns + c;
      const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)at));
      const __m512i high =
          _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(at + columns)));
      _mm512_storeu_si512(to + r * columns + 2 * c,
                          _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

// Paired -> (rows, columns).
inline void unpair(bf16* to, const bf16* from, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r += 2)
    for (int64_t c = 0; c < columns; c += LANES) {
      const __m512i both = _mm512_loadu_si512(from + r * columns + 2 * c);
      bf16* at = to + r * columns + c;
      _mm256_storeu_si256((__m256i*)at, _mm512_cvtepi32_epi16(both));
      _mm256_storeu_si256((__m256i*)(at + columns),
                          _mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
    }
}

// (rows, columns) -> its transpose, paired: (columns / 2, rows, 2).
inline void pair_transposed(bf16* to, const bf16* from, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r += LANES)
    for (int64_t c = 0; c < columns; c += 2 * LANES) {
      __m512i tile[LANES];
      for (int i = 0; i < LANES; i++) tile[i] = _mm512_loadu_si512(from + (r + i) * columns + c);
      transpose(tile);
      for (int i = 0; i < LANES; i++)
        _mm512_storeu_si512(to + (c + 2 * i) * rows + 2 * r, tile[i]);
    }
}

}  // namespace gpt
