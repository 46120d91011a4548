// LayerNorm and RMSNorm of a row, (x − mean) · rate · weight, and their gradients.
//
// RMSNorm is LayerNorm whose mean is 0 by definition. Weights' gradients are summed over a piece
// of rows at a time, and over the pieces in their order, so that threads change nothing.
#pragma once

#include <cmath>

#include "lanes.h"

namespace gpt {

// Rows whose gradients to the weights are summed together.
constexpr int64_t PIECE_OF_ROWS = 128;

// kept: the row's mean and rate.
inline void normalize(bf16* out, float* kept, const bf16* x, const bf16* weight, int64_t C,
                      float epsilon, bool centered) {
  __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (int64_t c = 0; centered && c < C; c += LANES)
    sum = _mm512_add_ps(sum, load(x + c, first(C - c)));
  const float mean = _mm512_reduce_add_ps(sum) / C;
  for (int64_t c = 0; c < C; c += LANES) {
    const __mmask16 there = first(C - c);
    const __m512 away = _mm512_maskz_sub_ps(there, load(x + c, there), _mm512_set1_ps(mean));
    squares = _mm512_fmadd_ps(away, away, squares);
  }
  const float rate = 1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / C + epsilon);
  for (int64_t c = 0; c < C; c += LANES) {
    const __mmask16 there = first(C - c);
    const __m512 away = _mm512_sub_ps(load(x + c, there), _mm512_set1_ps(mean));
    const __m512 y =
        _mm512_mul_ps(_mm512_mul_ps(away, _mm512_set1_ps(rate)), load(weight + c, there));
    store(out + c, y, there);
  }
  kept[0] = mean;
  kept[1] = rate;
}

// Adds to to_weight (C, rounded up to LANES).
inline void normalize_backward(bf16* grad, float* to_weight, const bf16* grad_out, const bf16* x,
                               const bf16* weight, const float* kept, int64_t C, bool centered) {
  const __m512 mean = _mm512_set1_ps(kept[0]), rate = _mm512_set1_ps(kept[1]);
  __m512 sum = _mm512_setzero_ps(), dot = _mm512_setzero_ps();
  for (int64_t c = 0; c < C; c += LANES) {
    const __mmask16 there = first(C - c);
    const __m512 g = load(grad_out + c, there);
    const __m512 y = _mm512_maskz_mul_ps(there, _mm512_sub_ps(load(x + c, there), mean), rate);
    const __m512 inner = _mm512_mul_ps(g, load(weight + c, there));
    sum = _mm512_add_ps(sum, inner);
    dot = _mm512_fmadd_ps(inner, y, dot);
    _mm512_storeu_ps(to_weight + c, _mm512_fmadd_ps(g, y, _mm512_loadu_ps(to_weight + c)));
  }
  const __m512 level = _mm512_set1_ps(centered ? _mm512_reduce_add_ps(sum) / C : 0.0f);
  const __m512 along = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / C);
  for (int64_t c = 0; c < C; c += LANES) {
    const __mmask16 there = first(C - c);
    const __m512 y = _mm512_mul_ps(_mm512_sub_ps(load(x + c, there), mean), rate);
    const __m512 inner = _mm512_mul_ps(load(grad_out + c, there), load(weight + c, there));
    const __m512 rest = _mm512_fnmadd_ps(y, along, _mm512_sub_ps(inner, level));
    store(grad + c, _mm512_mul_ps(rest, rate), there);
  }
}

}  // namespace gpt
