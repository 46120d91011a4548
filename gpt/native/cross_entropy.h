// A row of logits -> the cross-entropy of its target, and the gradient: softmax less one at the
// target.
#pragma once

#include <cmath>

#include "lanes.h"

namespace gpt {

// `powers` holds n floats, rounded up to LANES. `weight` scales the gradient, not the loss
// returned.
inline float cross_entropy(bf16* grad, float* powers, const bf16* logits, int64_t n,
                           int64_t target, float weight) {
  const __m512 by = _mm512_set1_ps(float(M_LOG2E)), lowest = _mm512_set1_ps(-INFINITY);
  __m512 most = lowest;
  for (int64_t i = 0; i < n; i += LANES) {
    const __m512 z = load(logits + i, first(n - i));
    most = _mm512_max_ps(_mm512_mask_mov_ps(lowest, first(n - i), z), most);
  }
  const float top = _mm512_reduce_max_ps(most);
  const __m512 offset = _mm512_set1_ps(top * float(M_LOG2E));
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += LANES) {
    const __m512 z = _mm512_fmsub_ps(load(logits + i, first(n - i)), by, offset);
    const __m512 power = _mm512_maskz_mov_ps(first(n - i), exp2(z));
    _mm512_storeu_ps(powers + i, power);
    sum = _mm512_add_ps(sum, power);
  }
  const float total = _mm512_reduce_add_ps(sum);
  const __m512 share = _mm512_set1_ps(weight / total);
  for (int64_t i = 0; i < n; i += LANES)
    store(grad + i, _mm512_mul_ps(_mm512_loadu_ps(powers + i), share), first(n - i));
  const float right = powers[target] / total - 1.0f;
  store(grad + target, _mm512_set1_ps(right * weight), first(1));
  const float of_target = _mm512_cvtss_f32(load(logits + target, first(1)));
  return top - of_target + std::log(total);
}

}  // namespace gpt
