// Products of numbers that are a byte times a scale: twice as fast as in bfloat16 by lanes.
//
// A row, or a column, has the scale that makes its greatest number 127 (Wortsman et al. 2023,
// SwitchBack, section 2.2, https://arxiv.org/abs/2304.13013): the one that is not summed over, so
// that the scales stand before the sum. (There the product over tokens stays in 16 bits; here it
// has scales for each piece of tokens.) The processor multiplies bytes without a sign by bytes
// with one, four pairs at a time; so one side lies 128 higher, and what that adds is taken off by
// the sums' first values, `offsets`. Up to 66,000 of the greatest products fit a sum.
// "Quads" are what pairs are for bfloat16 (lanes.h): four rows beside each other, value by value.
#pragma once

#include <algorithm>
#include <cstring>

#include "buffer.h"
#include "lanes.h"
#include "product.h"

namespace gpt {

// SIDE rows or columns: their numbers are bytes of the layout times `scales`.
struct Scaled {
  int8_t* bytes;
  float* scales;
  int32_t* offsets;  // -128 · the sum of a column's bytes; null: none
};

// Of a matrix with N rows or columns of K: the strips of SIDE follow each other.
class Int8Matrix {
 public:
  Int8Matrix(int64_t N, int64_t K) : depth_(K), bytes_(N * K), scales_(N), offsets_(N) {}

  Scaled strip(int64_t at) const {
    return {bytes_.begin() + at * depth_, scales_.begin() + at, offsets_.begin() + at};
  }

 private:
  const int64_t depth_;
  const Buffer<int8_t> bytes_;
  const Buffer<float> scales_;
  const Buffer<int32_t> offsets_;
};

// What is added to a float below 2^22 so that its last byte is the nearest whole number.
constexpr float ROUNDER = 12582912.0f;

inline __m512i rounded(__m512 x, __m512 rate) {
  return _mm512_castps_si512(_mm512_fmadd_ps(x, rate, _mm512_set1_ps(ROUNDER)));
}

// 32 numbers without their signs, whose order as bits is that of their sizes: what is not a number
// comes last.
inline __m512i sizes_of(const bf16* from) {
  return _mm512_and_si512(_mm512_loadu_si512(from), _mm512_set1_epi16(0x7fff));
}

inline __m512 scales_of(__m256i sizes) {
  const __m512 greatest = _mm512_max_ps(_mm512_set1_ps(1e-30f), widened(sizes));  // keeps a NaN
  return _mm512_mul_ps(greatest, _mm512_set1_ps(1.0f / 127.0f));
}

inline float scale_of_row(const bf16* from, int64_t K) {
  __m512i most = _mm512_setzero_si512();
  for (int64_t k = 0; k < K; k += 32) most = _mm512_max_epu16(most, sizes_of(from + k));
  const __m512i low = _mm512_and_si512(most, _mm512_set1_epi32(0xffff));
  const uint32_t size =
      _mm512_reduce_max_epu32(_mm512_max_epu32(low, _mm512_srli_epi32(most, 16)));
  return _mm512_cvtss_f32(scales_of(_mm256_set1_epi16(size)));
}

// What raises a byte with a sign by 128, if it is flipped.
constexpr int RAISED = 0x80;

// A row of K numbers -> bytes; flip: RAISED, or 0.
inline float quantize_row(int8_t* to, const bf16* from, int64_t K, int flip) {
  const float scale = scale_of_row(from, K);
  const __m512 rate = _mm512_set1_ps(1.0f / scale);
  const __m128i by = _mm_set1_epi8(flip);
  for (int64_t k = 0; k < K; k += LANES) {
    const __m128i bytes = _mm512_cvtepi32_epi8(rounded(load(from + k), rate));
    _mm_storeu_si128((__m128i*)(to + k), _mm_xor_si128(bytes, by));
  }
  return scale;
}

// n rows of SIDE, each 128 higher; those that aren't there weigh nothing.
inline void quantize_rows(Scaled to, const bf16* from, int64_t n, int64_t K) {
  for (int64_t r = 0; r < SIDE; r++) {
    if (r < n)
      to.scales[r] = quantize_row(to.bytes + r * K, from + r * K, K, RAISED);
    else
      to.scales[r] = 0, std::memset(to.bytes + r * K, RAISED, K);
  }
}

inline void write_offsets(Scaled to, int64_t K) {
  const __m512i ones = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
  for (int64_t c = 0; c < SIDE; c += LANES) {
    __m512i sum = zero;
    for (int64_t k = 0; k < K; k += 4)
      sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(to.bytes + k * SIDE + 4 * c));
    _mm512_storeu_si512(to.offsets + c, _mm512_sub_epi32(zero, _mm512_slli_epi32(sum, 7)));
  }
}

// SIDE rows of K -> their transpose in quads, (K / 4, SIDE, 4), scaled by row.
inline void quantize_across(Scaled to, const bf16* from, int64_t K) {
  const Buffer<int8_t> rows(SIDE * K + 64);
  for (int64_t r = 0; r < SIDE; r++)
    to.scales[r] = quantize_row(rows.begin() + r * K, from + r * K, K, 0);
  for (int64_t r = 0; r < SIDE; r += LANES)
    for (int64_t k = 0; k < K; k += 64) {
      __m512i tile[LANES];
      for (int i = 0; i < LANES; i++) tile[i] = _mm512_loadu_si512(rows.begin() + (r + i) * K + k);
      transpose(tile);
      for (int64_t i = 0; i < std::min(LANES, (K - k) / 4); i++)
        _mm512_storeu_si512(to.bytes + (k + 4 * i) * SIDE + 4 * r, tile[i]);
    }
  write_offsets(to, K);
}

// To the nearest whole number.
struct Nearest {
  __m512i operator()(__m512 x, __m512 rate, int64_t, int64_t) const { return rounded(x, rate); }
};

// SIDE columns, from the `first`th on, of n rows -> quads (round_up(n) / 4, SIDE, 4), scaled by
// column. Those that are raised need no offsets.
template <class Round = Nearest>
void quantize_columns(Scaled to, const bf16* from, int64_t stride, int64_t first, int64_t n,
                      int flip, Round round = {}) {
  from += first;
  __m512i most = _mm512_setzero_si512();
  for (int64_t r = 0; r < n; r++) most = _mm512_max_epu16(most, sizes_of(from + r * stride));
  const __m512i by = _mm512_set1_epi8(flip), byte = _mm512_set1_epi32(0xff);
  for (int64_t c = 0; c < SIDE; c += LANES) {
    const __m512 scales =
        scales_of(c ? _mm512_extracti64x4_epi64(most, 1) : _mm512_castsi512_si256(most));
    const __m512 rates = _mm512_div_ps(_mm512_set1_ps(1.0f), scales);
    _mm512_storeu_ps(to.scales + c, scales);
    for (int64_t r = 0; r < round_up(n); r += 4) {
      __m512i quads = _mm512_setzero_si512();
      for (int64_t i = 0; i < 4 && r + i < n; i++) {
        const __m512i value =
            round(load(from + (r + i) * stride + c), rates, r + i, (first + c) / LANES);
        quads = _mm512_or_si512(quads, _mm512_slli_epi32(_mm512_and_si512(value, byte), 8 * i));
      }
      _mm512_storeu_si512(to.bytes + r * SIDE + 4 * c, _mm512_xor_si512(quads, by));
    }
  }
  if (flip == 0) write_offsets(to, round_up(n));
}

// One side of a product, whose bytes have no sign, for they lie 128 higher, or are so, where the
// other side has no offsets: byte k of row r at r · row + k / 4 · step + k % 4.
struct Unsigned {
  const int8_t* bytes;
  int64_t row, step;
};

// Calls `use` with each of SIDE rows' number and its sums of K products with the columns of `b`,
// not yet scaled.
template <class Use>
__attribute__((noinline)) void multiply(Unsigned a, Scaled b, int64_t K, Use use) {
  constexpr int ROWS = 8;
  for (int64_t row = 0; row < SIDE; row += ROWS) {
    __m512i left[ROWS], right[ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
      left[i] = b.offsets ? _mm512_loadu_si512(b.offsets) : _mm512_setzero_si512();
      right[i] = b.offsets ? _mm512_loadu_si512(b.offsets + LANES) : _mm512_setzero_si512();
    }
    const int8_t *values = a.bytes + row * a.row, *quads = b.bytes;
    for (int64_t k = 0; k < K; k += 4, values += a.step, quads += 4 * SIDE) {
      const __m512i b_left = _mm512_loadu_si512(quads), b_right = _mm512_loadu_si512(quads + 64);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
        int32_t quad;
        std::memcpy(&quad, values + i * a.row, sizeof quad);
        const __m512i all = _mm512_set1_epi32(quad);
        left[i] = _mm512_dpbusd_epi32(left[i], all, b_left);
        right[i] = _mm512_dpbusd_epi32(right[i], all, b_right);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
      use(row + i, _mm512_cvtepi32_ps(left[i]), _mm512_cvtepi32_ps(right[i]));
  }
}

}  // namespace gpt
