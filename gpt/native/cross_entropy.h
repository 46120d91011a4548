// A row of logits -> the cross-entropy of its target, and the gradient: softmax less one at the
// target.
#pragma once

#include <cmath>

#include "lanes.h"

namespace gpt {

// `powers` holds n floats. `weight` scales the gradient, not the loss
// returned.
inline float cross_entropy(bf16* grad, float* powers, const bf16* logits, int64_t n,
                           int64_t target, float weight) {
  const __m512 by = _mm512_set1_ps(float(M_LOG2E)), lowest = _mm512_set1_ps(-INFINITY);
  __m512 most = lowest, sum = _mm512_setzero_ps();
  each_vector(n, [&](int64_t i, auto there) {
    most = _mm512_max_ps(only(there, load(logits + i, there), lowest), most);
  });
  const float top = _mm512_reduce_max_ps(most);
  const __m512 offset = _mm512_set1_ps(top * float(M_LOG2E));
  each_vector(n, [&](int64_t i, auto there) {
    const __m512 power = exp2(_mm512_fmsub_ps(load(logits + i, there), by, offset));
    store(powers + i, power, there);
    sum = _mm512_add_ps(sum, only(there, power, _mm512_setzero_ps()));
  });
  const float total = _mm512_reduce_add_ps(sum);
  const __m512 share = _mm512_set1_ps(weight / total);
  each_vector(n, [&](int64_t i, auto there) {
    store(grad + i, _mm512_mul_ps(load(powers + i, there), share), there);
  });
  const float right = powers[target] / total - 1.0f;
  store(grad + target, _mm512_set1_ps(right * weight), first(1));
  const float of_target = _mm512_cvtss_f32(load(logits + target, first(1)));
  return top - of_target + std::log(total);
}

}  // namespace gpt
