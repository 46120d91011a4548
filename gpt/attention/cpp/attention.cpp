// What gpt/attention/cpp/attention.py calls: every head of every text, shared out among threads.
//
// gpt/attention/cpp/library.py reads the signatures below from this file: they are declared nowhere else.
// The OpenMP runtime is the one that torch has loaded, so its threads are torch's.
#include "attention.h"

using namespace gpt;

namespace {

// One head of one text of a tensor (B, H, T, D) with these strides and contiguous channels.
Rows head_of(bf16* data, const int64_t* strides, const Sizes& s, int64_t i) {
  return {data + i / s.H * strides[0] + i % s.H * strides[1], strides[2]};
}

// Calls `use` with the number of each head of each text, and with a workspace of the thread's own.
template <class Use>
void each_head(const Sizes& s, int n_threads, Use use) {
#pragma omp parallel num_threads(n_threads)
  {
    Workspace work(s);
#pragma omp for
    for (int64_t i = 0; i < s.B * s.H; i++) use(work, i);
  }
}

}  // namespace

extern "C" {

// out (B, H, T, D) and kept (B, H, 2, T) of q, k and v (B, H, T, D). `strides` holds those of B, H
// and T for q, k, v and out, in this order.
void gpt_attention(bf16* out, float* kept, bf16* q, bf16* k, bf16* v, const int64_t* strides,
                   float scale, int64_t B, int64_t H, int64_t T, int64_t D, int n_threads) {
  const Sizes s{B, H, T, D, round_up(T), round_up(D)};
  each_head(s, n_threads, [&](Workspace& work, int64_t i) {
    const auto head = [&](bf16* data, int which) {
      return head_of(data, strides + 3 * which, s, i);
    };
    float* tops = kept + 2 * i * T;
    forward(work, head(q, 0), head(k, 1), head(v, 2), head(out, 3), tops, tops + T, scale, s);
  });
}

// The gradients of q, k and v from grad_out, and from what gpt_attention was given and returned.
// `strides` goes on with those of grad_out, grad_q, grad_k and grad_v.
void gpt_attention_backward(bf16* grad_q, bf16* grad_k, bf16* grad_v, bf16* grad_out, bf16* q,
                            bf16* k, bf16* v, bf16* out, const float* kept,
                            const int64_t* strides, float scale, int64_t B, int64_t H, int64_t T,
                            int64_t D, int n_threads) {
  const Sizes s{B, H, T, D, round_up(T), round_up(D)};
  each_head(s, n_threads, [&](Workspace& work, int64_t i) {
    const auto head = [&](bf16* data, int which) {
      return head_of(data, strides + 3 * which, s, i);
    };
    const float* tops = kept + 2 * i * T;
    backward(work, head(q, 0), head(k, 1), head(v, 2), head(out, 3), head(grad_out, 4), tops,
             tops + T, head(grad_q, 5), head(grad_k, 6), head(grad_v, 7), scale, s);
  });
}
}
