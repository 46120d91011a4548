// Causal attention and its gradients, one head of a text at a time, which stays in the cache.
//
// Scores lie with a row for each key and a column for each query, so that what is done to a
// query's scores (largest, total, share) is done to sixteen queries at once, lane by lane; and
// keys from which no query of a block can see are never multiplied. The backward pass makes the
// weights again from two numbers a query, as FlashAttention's does (Dao et al. 2022, algorithm 4,
// https://arxiv.org/abs/2205.14135).
//
// Letters: B batch, H heads, T time, D head size; Tp and Dp are T and D rounded up to BLOCK.
#pragma once

#include <cmath>
#include <cstdlib>

#include "product.h"

namespace gpt {

struct Sizes {
  int64_t B, H, T, D, Tp, Dp;
};

// One head's (T, D), its rows `stride` values apart.
using Rows = Matrix<bf16>;

// One head, padded with zeros to (Tp, Dp).
inline void copy_head(bf16* to, Rows from, const Sizes& s) {
  for (int64_t t = 0; t < s.Tp; t++)
    for (int64_t d = 0; d < s.Dp; d += 32) {
      const __mmask32 there = t < s.T ? first_of_32(s.D - d) : 0;
      _mm512_storeu_si512(to + t * s.Dp + d,
                          _mm512_maskz_loadu_epi16(there, from.data + t * from.stride + d));
    }
}

// Sums (BLOCK, Dp), a row each -> the head's rows from `start` on.
inline void write_rows(Rows to, const float* sums, int64_t start, const Sizes& s) {
  for (int64_t t = 0; t < BLOCK && start + t < s.T; t++)
    for (int64_t d = 0; d < s.D; d += LANES)
      store(to.data + (start + t) * to.stride + d, _mm512_loadu_ps(sums + t * s.Dp + d),
            first(s.D - d));
}

// Sums (Dp, BLOCK), a column each and times its share -> the head's rows from `start` on.
inline void write_columns(Rows to, Matrix<float> sums, const float* share, int64_t start,
                          const Sizes& s) {
  for (int64_t t = 0; t < BLOCK; t += LANES)
    for (int64_t d = 0; d < s.Dp; d += LANES) {
      __m512i tile[LANES];
      for (int i = 0; i < LANES; i++)
        tile[i] = _mm512_castps_si512(_mm512_mul_ps(
            _mm512_loadu_ps(sums.data + (d + i) * sums.stride + t), _mm512_loadu_ps(share + t)));
      transpose(tile);
      for (int i = 0; i < LANES && start + t + i < s.T; i++)
        store(to.data + (start + t + i) * to.stride + d, _mm512_castsi512_ps(tile[i]),
              first(s.D - d));
    }
}

// Scores (n, BLOCK) of the queries from `start` on -> powers of two, paired, and for each query
// the exponent of its largest and the sum of all.
inline void softmax(bf16* powers, float* top, float* total, const float* scores, int64_t start,
                    int64_t n, float factor) {
  const __m512 by = _mm512_set1_ps(factor);
  for (int64_t c = 0; c < BLOCK; c += LANES) {
    const int64_t last = start + c;  // the last key that all of these queries see
    __m512 most = _mm512_set1_ps(-INFINITY);
    for (int64_t k = 0; k < n; k++) {
      const __mmask16 sees = ~first(k - last);
      most = _mm512_mask_max_ps(most, sees, most, _mm512_loadu_ps(scores + k * BLOCK + c));
    }
    most = _mm512_mul_ps(most, by);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k += 2) {
      __m512 power[2];
      for (int64_t i = 0; i < 2; i++) {
        const __m512 z = _mm512_fmsub_ps(_mm512_loadu_ps(scores + (k + i) * BLOCK + c), by, most);
        power[i] = _mm512_maskz_mov_ps(~first(k + i - last), exp2(z));
        sum = _mm512_add_ps(sum, power[i]);
      }
      _mm512_storeu_si512(powers + k * BLOCK + 2 * c, paired(power[0], power[1]));
    }
    _mm512_storeu_ps(top + c, most);
    _mm512_storeu_ps(total + c, sum);
  }
}

// Memory for a thread's own use, aligned to a cache line.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t n)
      : data_(static_cast<T*>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64))),
        next_(data_) {}
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;

  void reset() { next_ = data_; }
  T* take(int64_t n) {
    T* taken = next_;
    next_ += n;
    return taken;
  }

 private:
  T *const data_, *next_;
};

struct Workspace {
  Tiles tiles;
  Buffer<bf16> values;
  Buffer<float> sums;

  explicit Workspace(const Sizes& s)
      : values(8 * s.Tp * s.Dp + 3 * BLOCK * s.Tp),
        sums(s.Tp * (2 * BLOCK + s.Dp + 3) + BLOCK * s.Dp) {}
};

// tops and shares (T): 2^(score · scale · log2 e − top) · share is a weight.
inline void forward(Workspace& work, Rows q, Rows k, Rows v, Rows out, float* tops, float* shares,
                    float scale, const Sizes& s) {
  work.values.reset();
  work.sums.reset();
  const int64_t size = s.Tp * s.Dp;
  bf16 *rows = work.values.take(size), *q_pairs = work.values.take(size);
  bf16 *v_columns = work.values.take(size), *powers = work.values.take(BLOCK * s.Tp);
  float *scores = work.sums.take(BLOCK * s.Tp), *sums = work.sums.take(BLOCK * s.Dp);
  copy_head(rows, v, s);
  pair_transposed(q_pairs, rows, s.Tp, s.Dp);
  unpair(v_columns, q_pairs, s.Dp, s.Tp);
  copy_head(rows, q, s);
  pair_transposed(q_pairs, rows, s.Tp, s.Dp);
  copy_head(rows, k, s);
  for (int64_t start = 0; start < s.T; start += BLOCK) {  // of queries
    const int64_t n = start + BLOCK;                      // keys that any of them sees
    float top[BLOCK], share[BLOCK];
    product(work.tiles, {scores, BLOCK}, {rows, s.Dp}, {q_pairs + 2 * start, s.Tp}, n, BLOCK,
            s.Dp);
    softmax(powers, top, share, scores, start, n, scale * float(M_LOG2E));
    product(work.tiles, {sums, BLOCK}, {v_columns, s.Tp}, {powers, BLOCK}, s.Dp, BLOCK, n);
    for (float& total : share) total = 1.0f / total;
    write_columns(out, {sums, BLOCK}, share, start, s);
    for (int64_t t = 0; t < BLOCK && start + t < s.T; t++) {
      tops[start + t] = top[t];
      shares[start + t] = share[t];
    }
  }
}

// The gradients of q, k and v from that of `out`, and from what the forward pass kept.
inline void backward(Workspace& work, Rows q, Rows k, Rows v, Rows out, Rows grad_out,
                     const float* tops, const float* shares, Rows grad_q, Rows grad_k, Rows grad_v,
                     float scale, const Sizes& s) {
  work.values.reset();
  work.sums.reset();
  const int64_t size = s.Tp * s.Dp;
  bf16 *rows = work.values.take(size), *k_rows = work.values.take(size);
  bf16 *v_rows = work.values.take(size), *k_columns = work.values.take(size);
  bf16 *q_pairs = work.values.take(size), *q_across = work.values.take(size);
  bf16 *g_pairs = work.values.take(size), *g_across = work.values.take(size);
  bf16 *weights = work.values.take(BLOCK * s.Tp), *slopes = work.values.take(BLOCK * s.Tp);
  bf16* slope_pairs = work.values.take(BLOCK * s.Tp);
  float *scores = work.sums.take(BLOCK * s.Tp), *grads = work.sums.take(BLOCK * s.Tp);
  float *sums = work.sums.take(BLOCK * s.Dp), *q_sums = work.sums.take(size);
  float *top = work.sums.take(s.Tp), *share = work.sums.take(s.Tp), *own = work.sums.take(s.Tp);

  copy_head(k_rows, k, s);
  pair_transposed(rows, k_rows, s.Tp, s.Dp);
  unpair(k_columns, rows, s.Dp, s.Tp);
  copy_head(v_rows, v, s);
  copy_head(rows, q, s);
  pair(q_pairs, rows, s.Tp, s.Dp);
  pair_transposed(q_across, rows, s.Tp, s.Dp);
  copy_head(rows, grad_out, s);
  pair(g_pairs, rows, s.Tp, s.Dp);
  pair_transposed(g_across, rows, s.Tp, s.Dp);
  std::memset(q_sums, 0, size * sizeof(float));
  for (int64_t t = 0; t < s.Tp; t++) {
    const bool there = t < s.T;  // a query that isn't weighs nothing
    top[t] = there ? tops[t] : 0.0f;
    share[t] = there ? shares[t] : 0.0f;
    __m512 dot = _mm512_setzero_ps();  // Σ weight · its gradient = Σ out · grad_out
    for (int64_t d = 0; there && d < s.D; d += LANES)
      dot = _mm512_fmadd_ps(load(out.data + t * out.stride + d, first(s.D - d)),
                            load(rows + t * s.Dp + d), dot);
    own[t] = _mm512_reduce_add_ps(dot);
  }
  const __m512 by = _mm512_set1_ps(scale * float(M_LOG2E)), by_scale = _mm512_set1_ps(scale);
  for (int64_t start = 0; start < s.T; start += BLOCK) {  // of keys
    const int64_t n = s.Tp - start;                       // queries that see any of them
    product(work.tiles, {scores, s.Tp}, {k_rows + start * s.Dp, s.Dp},
            {q_across + 2 * start, s.Tp}, BLOCK, n, s.Dp);
    product(work.tiles, {grads, s.Tp}, {v_rows + start * s.Dp, s.Dp}, {g_across + 2 * start, s.Tp},
            BLOCK, n, s.Dp);
    for (int64_t r = 0; r < BLOCK; r += 2)
      for (int64_t c = 0; c < n; c += LANES) {
        const __m512 most = _mm512_loadu_ps(top + start + c),
                     part = _mm512_loadu_ps(share + start + c);
        const __m512 mean = _mm512_loadu_ps(own + start + c);
        __m512 slope[2];
        for (int64_t i = 0; i < 2; i++) {
          const int64_t at = (r + i) * s.Tp + c;
          const __m512 z = _mm512_fmsub_ps(_mm512_loadu_ps(scores + at), by, most);
          const __m512 weight = _mm512_maskz_mul_ps(~first(r + i - c), exp2(z), part);
          const __m512 ahead = _mm512_sub_ps(_mm512_loadu_ps(grads + at), mean);
          slope[i] = _mm512_mul_ps(_mm512_mul_ps(weight, by_scale), ahead);
          store(weights + at, weight);
          store(slopes + at, slope[i]);
        }
        _mm512_storeu_si512(slope_pairs + r * n + 2 * c, paired(slope[0], slope[1]));
      }
    product(work.tiles, {sums, s.Dp}, {weights, s.Tp}, {g_pairs + start * s.Dp, s.Dp}, BLOCK, s.Dp,
            n);
    write_rows(grad_v, sums, start, s);
    product(work.tiles, {sums, s.Dp}, {slopes, s.Tp}, {q_pairs + start * s.Dp, s.Dp}, BLOCK, s.Dp,
            n);
    write_rows(grad_k, sums, start, s);
    product(work.tiles, {q_sums + start, s.Tp}, {k_columns + start, s.Tp}, {slope_pairs, n}, s.Dp,
            n, BLOCK, true);
  }
  float ones[BLOCK];
  for (float& one : ones) one = 1.0f;
  for (int64_t start = 0; start < s.T; start += BLOCK)
    write_columns(grad_q, {q_sums + start, s.Tp}, ones, start, s);
}

}  // namespace gpt
