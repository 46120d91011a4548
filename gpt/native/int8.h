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

// Whether the other side of a product lies 128 higher, or its bytes have no sign.
enum Offsets { WITH_OFFSETS, NO_OFFSETS };

// Of a matrix with N rows or columns of K: the strips of SIDE follow each other.
class Int8Matrix {
 public:
  Int8Matrix(int64_t N, int64_t K) : depth_(K), bytes_(N * K), scales_(N), offsets_(N) {}

  Scaled strip(int64_t at, Offsets offsets = WITH_OFFSETS) const {
    return {bytes_.begin() + at * depth_, scales_.begin() + at,
            offsets == NO_OFFSETS ? nullptr : offsets_.begin() + at};
  }

 private:
  const int64_t depth_;
  const Buffer<int8_t> bytes_;
  const Buffer<float> scales_;
  const Buffer<int32_t> offsets_;
};

// What raises a byte with a sign by 128, if it is raised.
constexpr int RAISED = 128;

// Numbers -> bytes, each the nearest whole number to a number times its rate, in the lowest place
// of a lane (by ROUNDER) or in the next one: there it is 256 times as great, and rounded down by
// the place below.
class Places {
 public:
  explicit Places(int raised = 0)
      : first_(_mm512_set1_ps(ROUNDER + raised)),
        second_(_mm512_set1_ps(ROUNDER + 256 * raised + 128)) {}

  __m512i first(__m512 x, __m512 rate) const { return bits(_mm512_fmadd_ps(x, rate, first_)); }
  __m512i second(__m512 x, __m512 rate256) const {
    return bits(_mm512_fmadd_ps(x, rate256, second_));
  }

  // In each lane, the first place of one and the second of the other; what is above is anything.
  static __m512i both(__m512i first, __m512i second) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi32(0xff), first, second, CHOICE);
  }
  // The lower half of one, and that of the other above it.
  static __m512i quad(__m512i low, __m512i high) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi32(0xffff), low, _mm512_slli_epi32(high, 16),
                                     CHOICE);
  }

 private:
  static constexpr int CHOICE = 0xca;  // the bits of the second where the first has ones
  static __m512i bits(__m512 x) { return _mm512_castps_si512(x); }

  const __m512 first_, second_;
};

// 32 numbers: those that stand at even places, and the others.
struct Halves {
  __m512 even, odd;

  explicit Halves(const bf16* from) {
    const __m512i both = _mm512_loadu_si512(from);
    even = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
    odd = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff0000)));
  }
};

// 32 numbers without their signs, whose order as bits is that of their sizes: what is not a number
// comes last.
inline __m512i sizes_of(const bf16* from) {
  return _mm512_and_si512(_mm512_loadu_si512(from), _mm512_set1_epi16(0x7fff));
}

// Of the sizes in the upper halves of lanes.
inline __m512 scales_of(__m512i sizes) {
  const __m512i upper = _mm512_and_si512(sizes, _mm512_set1_epi32(0xffff0000));
  const __m512 greatest =
      _mm512_max_ps(_mm512_set1_ps(1e-30f), _mm512_castsi512_ps(upper));  // keeps a NaN
  return _mm512_mul_ps(greatest, _mm512_set1_ps(1.0f / 127.0f));
}

inline float scale_of_row(const bf16* from, int64_t K) {
  __m512i most = _mm512_setzero_si512();
  for (int64_t k = 0; k < K; k += 32) most = _mm512_max_epu16(most, sizes_of(from + k));
  const __m512i low = _mm512_and_si512(most, _mm512_set1_epi32(0xffff));
  const uint32_t size =
      _mm512_reduce_max_epu32(_mm512_max_epu32(low, _mm512_srli_epi32(most, 16)));
  return _mm512_cvtss_f32(scales_of(_mm512_set1_epi32(size << 16)));
}

// A row of K numbers -> bytes, raised or not.
inline float quantize_row(int8_t* to, const bf16* from, int64_t K, int raised) {
  const float scale = scale_of_row(from, K);
  const __m512 rate = _mm512_set1_ps(1.0f / scale);
  const __m512 rate256 = _mm512_mul_ps(rate, _mm512_set1_ps(256));
  const Places places(raised);
  for (int64_t k = 0; k < K; k += SIDE) {
    const Halves x(from + k);
    const __m512i bytes = Places::both(places.first(x.even, rate), places.second(x.odd, rate256));
    _mm256_storeu_si256((__m256i*)(to + k), _mm512_cvtepi32_epi16(bytes));
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

// 16 columns, every other one of 32.
struct HalfOfColumns {
  __m512 scales, rate, rate256;

  explicit HalfOfColumns(__m512 scales)
      : scales(scales),
        rate(_mm512_div_ps(_mm512_set1_ps(1.0f), scales)),
        rate256(_mm512_mul_ps(rate, _mm512_set1_ps(256))) {}
};

// The greatest sizes in some strips of SIDE columns beside each other, of n rows.
template <int STRIPS>
void greatest_of_columns(__m512i* most, const bf16* from, int64_t stride, int64_t n) {
  __m512i sizes[STRIPS] = {};
  for (int64_t r = 0; r < n; r++)
#pragma GCC unroll 8
    for (int i = 0; i < STRIPS; i++)
      sizes[i] = _mm512_max_epu16(sizes[i], sizes_of(from + r * stride + i * SIDE));
  for (int i = 0; i < STRIPS; i++) most[i] = sizes[i];
}

// SIDE columns, from the `first`th on, of n rows -> quads (round_up(n) / 4, SIDE, 4), scaled by
// column: `most` are their greatest sizes. Those that are raised need no offsets.
inline void quantize_columns(Scaled to, const bf16* from, __m512i most, int64_t stride,
                             int64_t first, int64_t n, int raised) {
  static const bf16 zeros[SIDE] = {};
  const __m512i front = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i back = _mm512_add_epi32(front, _mm512_set1_epi32(8));
  from += first;
  const HalfOfColumns even(scales_of(_mm512_slli_epi32(most, 16))), odd(scales_of(most));
  store(to.scales, _mm512_permutex2var_ps(even.scales, front, odd.scales));
  store(to.scales + LANES, _mm512_permutex2var_ps(even.scales, back, odd.scales));
  const Places places(raised);
  for (int64_t r = 0; r < round_up(n); r += 4) {
    const auto row = [&](int64_t i) { return r + i < n ? from + (r + i) * stride : zeros; };
    const Halves x0(row(0)), x1(row(1)), x2(row(2)), x3(row(3));
    const auto quads = [&](const HalfOfColumns& of, __m512 a, __m512 b, __m512 c, __m512 d) {
      return Places::quad(Places::both(places.first(a, of.rate), places.second(b, of.rate256)),
                          Places::both(places.first(c, of.rate), places.second(d, of.rate256)));
    };
    const __m512i evens = quads(even, x0.even, x1.even, x2.even, x3.even);
    const __m512i odds = quads(odd, x0.odd, x1.odd, x2.odd, x3.odd);
    int8_t* const bytes = to.bytes + r * SIDE;
    _mm512_storeu_si512(bytes, _mm512_permutex2var_epi32(evens, front, odds));
    _mm512_storeu_si512(bytes + 64, _mm512_permutex2var_epi32(evens, back, odds));
  }
  if (raised == 0) write_offsets(to, round_up(n));
}

// One side of a product, whose bytes have no sign, for they lie 128 higher, or are so, where the
// other side has no offsets: byte k of row r at r · row + k / 4 · step + k % 4.
struct Unsigned {
  const int8_t* bytes;
  int64_t row, step;
};

// Calls `use` with each of SIDE rows' number and its sums of K products with the columns of `b`,
// not yet scaled. (Arguments that were copied would wait for the stores before them.)
template <class Use>
__attribute__((noinline)) void multiply(const Unsigned& a, const Scaled& b, int64_t K,
                                        const Use& use) {
  constexpr int ROWS = 8, STEPS = 4;
  for (int64_t row = 0; row < SIDE; row += ROWS) {
    __m512i left[ROWS], right[ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
      left[i] = b.offsets ? _mm512_loadu_si512(b.offsets) : _mm512_setzero_si512();
      right[i] = b.offsets ? _mm512_loadu_si512(b.offsets + LANES) : _mm512_setzero_si512();
    }
    const int8_t *values = a.bytes + row * a.row, *quads = b.bytes;
    for (int64_t k = 0; k < K; k += 4 * STEPS)
#pragma GCC unroll 4
      for (int step = 0; step < STEPS; step++, values += a.step, quads += 4 * SIDE) {
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
