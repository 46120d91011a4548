// The head and its loss, as in head.h, whose products are in int8 (int8.h).
//
// What a softmax gives is small nearly everywhere, and most of it would round to nothing, always
// in the same direction; so a share is rounded up as often as it is near to the next number: by
// thresholds that are spread evenly, and lie elsewhere for each token and at each call. The
// target, which outweighs all others, is taken out and stays exact:
//   grad x = f (p W - s W_target), grad W = pᵀ (f x) - f s x at the target,
// with p the other tokens' powers, s their sum, and f a token's weight by the sum of all.
#pragma once

#include <cmath>
#include <utility>

#include "head.h"
#include "linear_int8.h"

namespace gpt {

// Thresholds for rounding: in each lane, 32 that divide [-1/2, 1/2] evenly, in an order of its
// own.
class Thresholds {
 public:
  static constexpr int64_t N = 32;

  Thresholds() {
    uint32_t state = 1;
    for (int64_t lane = 0; lane < LANES; lane++) {
      for (int i = 0; i < N; i++) values_[i][lane] = (i + 0.5f) / N - 0.5f;
      for (int i = N - 1; i > 0; i--) {
        state = state * 1664525 + 1013904223;  // Numerical Recipes'
        std::swap(values_[i][lane], values_[(state >> 16) % (i + 1)][lane]);
      }
    }
  }
  __m512 operator()(int64_t i) const { return _mm512_load_ps(values_[i % N]); }

 private:
  alignas(64) float values_[N][LANES];
};
inline const Thresholds THRESHOLDS;

// Where a token's thresholds begin, and by how much, within a 32nd, all of them are moved.
struct Moved {
  uint32_t begin;
  float by;

  // Knuth's multiplicative hash (The Art of Computer Programming 3, 6.4).
  explicit Moved(uint32_t number) {
    const uint32_t hash = number * 2654435761u;
    begin = hash >> 27;
    by = ((hash >> 11 & 0xffff) / 65536.0f - 0.5f) / Thresholds::N;
  }
  __m512 near(__m512 x, __m512 rate, int64_t i) const {
    const __m512 moved = _mm512_add_ps(THRESHOLDS(begin + i), _mm512_set1_ps(by));
    return _mm512_fmadd_ps(x, rate, moved);
  }
};

// Of a token: f, and f s.
struct Factors {
  float all, at_target;
};

// W for both of its products; the powers of a piece of tokens, as bytes from 0 to 255, and in
// quads; the same tokens times f; and the sums of what is multiplied over tokens.
struct HeadInt8Workspace {
  Int8Matrix across, along, power_quads, x_columns;
  Buffer<int8_t> bytes;
  Buffer<bf16> x;
  Buffer<Factors> factors;
  Buffer<float> sums;

  explicit HeadInt8Workspace(const HeadSizes& s)
      : across(s.width(), s.C),
        along(s.C, s.width()),
        power_quads(s.width(), TOKENS),
        x_columns(s.C, TOKENS),
        bytes(TOKENS * s.width()),
        x(TOKENS * s.C),
        factors(s.n),
        sums(s.width() * s.C) {
    std::memset(sums.begin(), 0, s.width() * s.C * sizeof(float));
    for (int64_t v = 0; v < s.width(); v++) *power_quads.strip(v).scales = 1.0f / 255.0f;
  }
};

// A token's logits, which are its own, -> the others' powers as bytes; gives its factors and loss.
inline Factors raise_row(int8_t* bytes, bf16* logits, float* loss, int64_t target, float weight,
                         const Moved& moved, const HeadSizes& s) {
  const float at_target = _mm512_cvtss_f32(load(logits + target, first(1)));
  store(logits + target, _mm512_set1_ps(NOTHING), first(1));
  __m512 most = _mm512_set1_ps(NOTHING), sums = _mm512_setzero_ps();
  each_vector(s.V, [&](int64_t v, auto there) {
    most = _mm512_max_ps(most, only(there, load(logits + v, there), most));
  });
  const float top = _mm512_reduce_max_ps(most);
  each_vector(s.V, [&](int64_t v, auto there) {
    const __m512 power = only(there, power_of(load(logits + v), top), _mm512_setzero_ps());
    sums = _mm512_add_ps(sums, power);
    const __m512 near = moved.near(power, _mm512_set1_ps(255.0f), v / LANES);
    _mm_storeu_si128((__m128i*)(bytes + v), _mm512_cvtusepi32_epi8(_mm512_cvtps_epu32(near)));
  });
  for (int64_t v = (s.V + LANES - 1) / LANES * LANES; v < s.width(); v += LANES)
    _mm_storeu_si128((__m128i*)(bytes + v), _mm_setzero_si128());
  const float others = _mm512_reduce_add_ps(sums), ahead = at_target - top;
  // e^ahead may be too great: then all is divided by it.
  const float power = std::exp(std::min(ahead, 0.0f)), by = std::exp(-std::max(ahead, 0.0f));
  *loss = ahead > 0 ? std::log1p(others * by) : std::log(others + power) - ahead;
  const float factor = weight * by / (others * by + power);
  return {factor, factor * others};
}

// SIDE columns of n rows of bytes, `stride` apart -> quads (round_up(n) / 4, SIDE, 4).
inline void quads_of(int8_t* to, const int8_t* bytes, int64_t stride, int64_t n) {
  for (int64_t r = 0; r < round_up(n); r += 4, to += 4 * SIDE) {
    const auto row = [&](int64_t i) {
      const __m256i* from = (const __m256i*)(bytes + (r + i) * stride);
      return r + i < n ? _mm256_loadu_si256(from) : _mm256_setzero_si256();
    };
    const __m256i a = row(0), b = row(1), c = row(2), d = row(3);
    const __m256i ab_low = _mm256_unpacklo_epi8(a, b), ab_high = _mm256_unpackhi_epi8(a, b);
    const __m256i cd_low = _mm256_unpacklo_epi8(c, d), cd_high = _mm256_unpackhi_epi8(c, d);
    // Of columns 4 i to 4 i + 3, and 16 more.
    const __m256i quads[4] = {
        _mm256_unpacklo_epi16(ab_low, cd_low), _mm256_unpackhi_epi16(ab_low, cd_low),
        _mm256_unpacklo_epi16(ab_high, cd_high), _mm256_unpackhi_epi16(ab_high, cd_high)};
    for (int i = 0; i < 4; i++) {
      _mm_storeu_si128((__m128i*)(to + 16 * i), _mm256_castsi256_si128(quads[i]));
      _mm_storeu_si128((__m128i*)(to + 16 * i + 64), _mm256_extracti128_si256(quads[i], 1));
    }
  }
}

// The gradients of n tokens from the others' powers as bytes, and from W at their targets.
inline void to_strip(bf16* grad_x, const int8_t* bytes, const Int8Matrix& along,
                     const bf16* weight, const int64_t* targets, const Factors* factors, int64_t n,
                     const HeadSizes& s) {
  bf16 nowhere[SIDE];
  for (int64_t c = 0; c < s.C; c += SIDE) {
    const Scaled columns = along.strip(c, NO_OFFSETS);
    multiply({bytes, s.width(), 4}, columns, s.width(), [&](int64_t r, __m512 left, __m512 right) {
      const bool there = r < n;
      bf16* const to = there ? grad_x + r * s.C + c : nowhere;
      const bf16* const at_target = weight + (there ? targets[r] : 0) * s.C + c;
      const __m512 by = _mm512_set1_ps(there ? factors[r].all / 255.0f : 0.0f);
      const __m512 less = _mm512_set1_ps(there ? factors[r].at_target : 0.0f);
      const __m512 by_left = _mm512_mul_ps(by, load(columns.scales));
      const __m512 by_right = _mm512_mul_ps(by, load(columns.scales + LANES));
      store(to, _mm512_fmsub_ps(left, by_left, _mm512_mul_ps(less, load(at_target))));
      store(to + LANES,
            _mm512_fmsub_ps(right, by_right, _mm512_mul_ps(less, load(at_target + LANES))));
    });
  }
}

// `weight` has s.width() rows; by all threads of a team.
inline void head_int8(const HeadInt8Workspace& work, float* losses, bf16* grad_x,
                      bf16* grad_weight, const bf16* x, const bf16* weight, const int64_t* targets,
                      const float* weights, const HeadSizes& s) {
  const int64_t width = s.width();
  const Int8Matrix rows(SIDE, s.C);
  const Buffer<bf16> logits(SIDE * width);
  float* const sums = work.sums.begin();
  Factors* const factors = work.factors.begin();
  uint32_t call = 0;  // a number of its own, for other texts
  for (int64_t t = 0; t < s.n; t++) call = 31 * call + targets[t];
  quantize_for_forward(work.across, weight, width, s.C);
  quantize_all_columns(work.along, weight, s.V, s.C, 0);
  for (int64_t start = 0; start < s.n; start += TOKENS) {
    const int64_t n = std::min(TOKENS, s.n - start);
#pragma omp for
    for (int64_t r = 0; r < n; r += SIDE) {
      const int64_t t = start + r, here = std::min(SIDE, n - r);
      int8_t* const bytes = work.bytes.begin() + r * width;
      multiply_strip(logits.begin(), width, x + t * s.C, rows, work.across, here, width, s.C);
      for (int64_t i = 0; i < here; i++) {
        factors[t + i] = raise_row(bytes + i * width, logits.begin() + i * width, losses + t + i,
                                   targets[t + i], weights[t + i], Moved(call + t + i), s);
        const __m512 all = _mm512_set1_ps(factors[t + i].all);
        for (int64_t c = 0; c < s.C; c += LANES)
          store(work.x.begin() + (r + i) * s.C + c,
                _mm512_mul_ps(all, load(x + (t + i) * s.C + c)));
      }
      to_strip(grad_x + t * s.C, bytes, work.along, weight, targets + t, factors + t, here, s);
    }
#pragma omp for
    for (int64_t v = 0; v < width; v += SIDE)
      quads_of(work.power_quads.strip(v).bytes, work.bytes.begin() + v, width, n);
    quantize_all_columns(work.x_columns, work.x.begin(), n, s.C, 0);
    add_int8_products(sums, work.power_quads, work.x_columns, width, s.C, round_up(n), NO_OFFSETS);
  }
#pragma omp single
  for (int64_t t = 0; t < s.n; t++) {
    const __m512 less = _mm512_set1_ps(factors[t].at_target);
    float* const to = sums + targets[t] * s.C;
    for (int64_t c = 0; c < s.C; c += LANES)
      store(to + c, _mm512_fnmadd_ps(less, load(x + t * s.C + c), load(to + c)));
  }
  round_all(grad_weight, sums, s.V * s.C);
}

}  // namespace gpt
