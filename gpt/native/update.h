// How weights move, each number read once: AdamW, and what Muon does around its products.
//
// Weights and moments are floats, gradients and the weights' copy bfloat16. `clip` is the factor
// that the gradients still lack.
#pragma once

#include <algorithm>
#include <cmath>

#include "lanes.h"

namespace gpt {

inline float sum_of_squares(const bf16* x, int64_t n) {
  __m512 sum = _mm512_setzero_ps();
  each_vector(n, [&](int64_t i, auto there) {
    const __m512 values = load(x + i, there);
    sum = _mm512_fmadd_ps(values, values, sum);
  });
  return _mm512_reduce_add_ps(sum);
}

// 1 / √x and 1 / x within 2e-7 of themselves: the processor's estimate, and a step of Newton's.
inline __m512 inverse_root(__m512 x) {
  const __m512 y = _mm512_rsqrt14_ps(x), half = _mm512_mul_ps(_mm512_set1_ps(0.5f), x);
  const __m512 off = _mm512_fnmadd_ps(_mm512_mul_ps(half, y), y, _mm512_set1_ps(0.5f));
  return _mm512_fmadd_ps(y, off, y);
}
inline __m512 inverse(__m512 x) {
  const __m512 y = _mm512_rcp14_ps(x);
  return _mm512_fmadd_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(1.0f)), y);
}

// a + share · (b − a)
inline __m512 between(__m512 a, __m512 b, float share) {
  return _mm512_fmadd_ps(_mm512_sub_ps(b, a), _mm512_set1_ps(share), a);
}

// What a step of AdamW does to each weight: shrink is 1 − learning rate · decay, rate the learning
// rate over 1 − beta1^t, root one over √(1 − beta2^t).
struct AdamW {
  float clip, shrink, rate, beta1, beta2, root, epsilon;

  void operator()(float* weight, bf16* copy, float* mean, float* square, const bf16* gradient,
                  int64_t n) const {
    const __m512 least = _mm512_set1_ps(1e-30f);  // whose root is nothing beside epsilon
    each_vector(n, [&](int64_t i, auto there) {
      const __m512 g = _mm512_mul_ps(load(gradient + i, there), _mm512_set1_ps(clip));
      const __m512 m = between(load(mean + i, there), g, 1 - beta1);
      const __m512 v = between(load(square + i, there), _mm512_mul_ps(g, g), 1 - beta2);
      const __m512 size = _mm512_max_ps(least, v);  // NaN stays NaN
      const __m512 deviation = _mm512_mul_ps(size, inverse_root(size));
      const __m512 scale =
          inverse(_mm512_fmadd_ps(deviation, _mm512_set1_ps(root), _mm512_set1_ps(epsilon)));
      const __m512 step = _mm512_mul_ps(_mm512_mul_ps(m, scale), _mm512_set1_ps(rate));
      const __m512 old = load(weight + i, there);
      const __m512 moved = _mm512_fmsub_ps(old, _mm512_set1_ps(shrink), step);
      store(mean + i, m, there);
      store(square + i, v, there);
      store(weight + i, moved, there);
      store(copy + i, moved, there);
    });
  }
};

// (rows, columns), times `by` -> its transpose.
inline void transposed(bf16* to, const bf16* from, int64_t rows, int64_t columns, float by) {
  for (int64_t r = 0; r < rows; r += LANES)
    for (int64_t c = 0; c < columns; c += LANES) {
      __m512i block[LANES];
      for (int64_t i = 0; i < LANES; i++) {
        const __mmask16 there = r + i < rows ? first(columns - c) : 0;
        block[i] = _mm512_castps_si512(
            _mm512_mul_ps(load(from + (r + i) * columns + c, there), _mm512_set1_ps(by)));
      }
      transpose(block);
      for (int64_t i = 0; i < std::min(LANES, columns - c); i++)
        store(to + (c + i) * rows + r, _mm512_castsi512_ps(block[i]), first(rows - r));
    }
}

// The momentum of a matrix (rows, columns) follows its gradient; ahead is what it will be after
// the next step, divided by its norm times `margin`, and transposed if there is a `scratch` for it
// to be first.
inline void look_ahead(bf16* ahead, bf16* scratch, float* momentum, const bf16* gradient,
                       int64_t rows, int64_t columns, float clip, float decay, float margin) {
  const int64_t n = rows * columns;
  bf16* const straight = scratch ? scratch : ahead;
  __m512 squares = _mm512_setzero_ps();
  each_vector(n, [&](int64_t i, auto there) {
    const __m512 g = _mm512_mul_ps(load(gradient + i, there), _mm512_set1_ps(clip));
    const __m512 m = between(load(momentum + i, there), g, 1 - decay);
    const __m512 next = between(g, m, decay);
    squares = _mm512_fmadd_ps(next, next, squares);
    store(momentum + i, m, there);
    store(straight + i, next, there);
  });
  const float by = 1 / (std::sqrt(_mm512_reduce_add_ps(squares)) * margin + 1e-7f);
  if (scratch) return transposed(ahead, scratch, rows, columns, by);
  each_vector(n, [&](int64_t i, auto there) {
    store(ahead + i, _mm512_mul_ps(load(ahead + i, there), _mm512_set1_ps(by)), there);
  });
}

// A matrix (rows, columns) shrinks and moves against an update, which is its transpose if there is
// a `scratch` for it to be turned.
inline void move(float* weight, bf16* copy, const bf16* update, bf16* scratch, int64_t rows,
                 int64_t columns, float shrink, float rate) {
  const int64_t n = rows * columns;
  if (scratch) transposed(scratch, update, columns, rows, 1.0f);
  const bf16* const straight = scratch ? scratch : update;
  each_vector(n, [&](int64_t i, auto there) {
    const __m512 step = _mm512_mul_ps(load(straight + i, there), _mm512_set1_ps(rate));
    const __m512 old = load(weight + i, there);
    const __m512 moved = _mm512_fmsub_ps(old, _mm512_set1_ps(shrink), step);
    store(weight + i, moved, there);
    store(copy + i, moved, there);
  });
}

}  // namespace gpt
