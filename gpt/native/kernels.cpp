// What Python calls (gpt/native/library.py), each shared out among threads.
//
// The OpenMP runtime is the one that torch has loaded, so its threads are torch's.
#include "kernels.h"

#include "activation.h"
#include "attention.h"
#include "cross_entropy.h"
#include "gradient.h"
#include "head.h"
#include "head_int8.h"
#include "linear.h"
#include "linear_int8.h"
#include "mlp.h"
#include "norm.h"
#include "turn.h"
#include "update.h"

using namespace gpt;

namespace {

// Values that a thread takes at once: whole registers, and enough to be worth its while.
constexpr int64_t PIECE = 1 << 14;

int64_t pieces_of(int64_t n) { return (n + PIECE - 1) / PIECE; }

// Calls `use` for each head of each text, with a workspace of the thread's own.
template <class Use>
void each_head(const Sizes& s, int n_threads, Use use) {
#pragma omp parallel num_threads(n_threads)
  {
    Workspace work(s);
#pragma omp for
    for (int64_t i = 0; i < s.B * s.H; i++) use(work, i);
  }
}

// Calls `use` for each head of q and k of each token, with where it lies in qkv (n, 3, H, D) and
// the angle of its position; the token's v is copied.
template <class Use>
void each_q_and_k(bf16* out, const bf16* qkv, const bf16* cos, const bf16* sin, int64_t n,
                  int64_t T, int64_t H, int64_t D, int n_threads, Use use) {
#pragma omp parallel for num_threads(n_threads)
  for (int64_t i = 0; i < n; i++) {
    const int64_t at = i * 3 * H * D, v = at + 2 * H * D, turn_by = i % T * D / 2;
    const Angle angle = cos ? Angle{cos + turn_by, sin + turn_by} : Angle{};
    for (int64_t h = at; h < v; h += D) use(h, angle);
    std::memcpy(out + v, qkv + v, H * D * sizeof(bf16));
  }
}

// Calls `use` for each piece of each tensor: with the number of the tensor, where the piece
// starts, how long it is, and its number among all pieces.
template <class Use>
void each_piece(const int64_t* sizes, int64_t n_tensors, int n_threads, Use use) {
#pragma omp parallel num_threads(n_threads)
  for (int64_t t = 0, before = 0; t < n_tensors; before += pieces_of(sizes[t++])) {
#pragma omp for nowait
    for (int64_t i = 0; i < sizes[t]; i += PIECE)
      use(t, i, std::min(PIECE, sizes[t] - i), before + i / PIECE);
  }
}

}  // namespace

extern "C" {

int gpt_has_tiles() { return Tiles().here; }

// out (B, T, H, D) and kept (B, H, 2, T), of qkv (B, T, 3, H, D).
void gpt_attention(bf16* out, float* kept, bf16* qkv, float scale, int64_t B, int64_t T, int64_t H,
                   int64_t D, int n_threads) {
  const Sizes s{B, H, T, D, round_up(T), round_up(D)};
  each_head(s, n_threads, [&](Workspace& work, int64_t i) {
    const auto of = [&](int which) { return head_of(qkv, s, 3, which, i); };
    const int64_t text = i / H, size = T * H * D;
    if (work.text != text) fetch(qkv + text * 3 * size, 3 * size);
    work.text = text;
    float* tops = kept + 2 * i * T;
    forward(work, of(0), of(1), of(2), head_of(out, s, 1, 0, i), tops, tops + T, scale, s);
  });
}

// grad (B, T, 3, H, D), of grad_out and what gpt_attention had and gave.
void gpt_attention_backward(bf16* grad, bf16* grad_out, bf16* qkv, bf16* out, const float* kept,
                            float scale, int64_t B, int64_t T, int64_t H, int64_t D,
                            int n_threads) {
  const Sizes s{B, H, T, D, round_up(T), round_up(D)};
  each_head(s, n_threads, [&](Workspace& work, int64_t i) {
    const auto of = [&](int which) { return head_of(qkv, s, 3, which, i); };
    const auto to = [&](int which) { return head_of(grad, s, 3, which, i); };
    const int64_t text = i / H, size = T * H * D;
    if (work.text != text) {
      fetch(qkv + text * 3 * size, 3 * size);
      fetch(out + text * size, size);
      fetch(grad_out + text * size, size);
    }
    work.text = text;
    const float* tops = kept + 2 * i * T;
    backward(work, of(0), of(1), of(2), head_of(out, s, 1, 0, i), head_of(grad_out, s, 1, 0, i),
             tops, tops + T, to(0), to(1), to(2), scale, s);
  });
}

// out (n) = activation(x).
void gpt_activation(bf16* out, const bf16* x, int64_t n, int number, const float* gelu,
                    int n_threads) {
  with_activation(number, gelu, [&](auto of) {
#pragma omp parallel for num_threads(n_threads)
    for (int64_t i = 0; i < n; i += PIECE) activate(out + i, x + i, std::min(PIECE, n - i), of);
  });
}

// grad (n) = grad_out · activation's slope at x.
void gpt_activation_backward(bf16* grad, const bf16* grad_out, const bf16* x, int64_t n,
                             int number, const float* gelu, int n_threads) {
  with_activation(number, gelu, [&](auto of) {
#pragma omp parallel for num_threads(n_threads)
    for (int64_t i = 0; i < n; i += PIECE)
      activate_backward(grad + i, grad_out + i, x + i, std::min(PIECE, n - i), of);
  });
}

// out (n, C) and hidden (H for each of n tokens, rounded up to SIDE), of x (n, C) and matrices (H,
// C) and (C, H).
void gpt_mlp(bf16* out, bf16* hidden, const bf16* x, const bf16* expand, const bf16* project,
             int64_t n, int64_t C, int64_t H, int number, const float* gelu, int n_threads) {
  const Buffer<bf16> expand_across(H * C), project_across(C * H);
  with_activation(number, gelu, [&](auto of) {
#pragma omp parallel num_threads(n_threads)
    {
      lay_across(expand_across.begin(), expand, H, C);
      lay_across(project_across.begin(), project, C, H);
      mlp(Tiles(), out, hidden, x, expand_across.begin(), project_across.begin(), of, {n, C, H});
    }
  });
}

// The gradients of x and both matrices, of grad_out and what gpt_mlp had and gave.
void gpt_mlp_backward(bf16* grad_x, bf16* grad_expand, bf16* grad_project, const bf16* grad_out,
                      const bf16* x, const bf16* hidden, const bf16* expand, const bf16* project,
                      int64_t n, int64_t C, int64_t H, int number, const float* gelu,
                      int n_threads) {
  const Buffer<bf16> expand_along(H * C), project_along(C * H);
  const MlpWorkspace work({n, C, H});
  with_activation(number, gelu, [&](auto of) {
#pragma omp parallel num_threads(n_threads)
    {
      lay_along(expand_along.begin(), expand, H, C);
      lay_along(project_along.begin(), project, C, H);
      mlp_backward(Tiles(), work, grad_x, grad_out, x, hidden, expand_along.begin(),
                   project_along.begin(), of, {n, C, H});
      write_transposed(grad_expand, work.to_expand.begin(), C, H);
      write_sums(grad_project, work.to_project.begin(), C, H);
    }
  });
}

// out (n, M) = x Wᵀ of x (n, C) and W (M, C).
void gpt_linear(bf16* out, const bf16* x, const bf16* weight, int64_t n, int64_t M, int64_t C,
                int n_threads) {
  const Buffer<bf16> across(M * C);
#pragma omp parallel num_threads(n_threads)
  {
    lay_across(across.begin(), weight, M, C);
    linear(Tiles(), out, x, across.begin(), n, M, C);
  }
}

// The gradients of x and W, of grad_out and what gpt_linear had.
void gpt_linear_backward(bf16* grad_x, bf16* grad_weight, const bf16* grad_out, const bf16* x,
                         const bf16* weight, int64_t n, int64_t M, int64_t C, int n_threads) {
  const Buffer<bf16> along(M * C);
  const LinearWorkspace work(M, C);
#pragma omp parallel num_threads(n_threads)
  {
    lay_along(along.begin(), weight, M, C);
    linear_backward(Tiles(), work, grad_x, grad_out, x, along.begin(), n, M, C);
    write_sums(grad_weight, work.to_weight.begin(), M, C);
  }
}

// out (n, M) = x Wᵀ of x (n, C) and W (M, C), multiplied in int8.
void gpt_linear_int8(bf16* out, const bf16* x, const bf16* weight, int64_t n, int64_t M, int64_t C,
                     int n_threads) {
  const Int8Matrix across(M, C);
#pragma omp parallel num_threads(n_threads)
  {
    quantize_for_forward(across, weight, M, C);
    multiply_tokens(out, x, across, n, M, C);
  }
}

// The gradients of x and W, of grad_out and what gpt_linear_int8 had.
void gpt_linear_int8_backward(bf16* grad_x, bf16* grad_weight, const bf16* grad_out, const bf16* x,
                              const bf16* weight, int64_t n, int64_t M, int64_t C, int n_threads) {
  const Int8Matrix along(C, M), g_columns(M, TOKENS), x_columns(C, TOKENS);
  const Buffer<float> sums(M * C);
  std::memset(sums.begin(), 0, M * C * sizeof(float));
#pragma omp parallel num_threads(n_threads)
  {
    quantize_all_columns(along, weight, M, C, 0);
    for (int64_t t = 0; t < n; t += TOKENS) {
      const int64_t here = std::min(TOKENS, n - t);
      multiply_tokens(grad_x + t * C, grad_out + t * M, along, here, C, M);
      quantize_all_columns(g_columns, grad_out + t * M, here, M, RAISED);
      quantize_all_columns(x_columns, x + t * C, here, C, 0);
      add_int8_products(sums.begin(), g_columns, x_columns, M, C, round_up(here));
    }
    round_all(grad_weight, sums.begin(), M * C);
  }
}

// out (M, N) = gᵀ x of g (n, M) and x (n, N), summed as floats. What is narrower is transposed.
void gpt_weight_gradient(bf16* out, const bf16* g, const bf16* x, int64_t n, int64_t M, int64_t N,
                         int n_threads) {
  const bool turned = M > N;
  if (turned) std::swap(g, x), std::swap(M, N);
  const int64_t height = round_up(M), width = round_up(N);
  const Buffer<float> sums(height * width);
  const Buffer<bf16> across(TOKENS * height), pairs(TOKENS * width);
#pragma omp parallel num_threads(n_threads)
  {
    sum_products(Tiles(), sums.begin(), across.begin(), pairs.begin(), g, x, n, M, N);
    if (turned)
      write_transposed(out, sums.begin(), M, N);
    else
      write_sums(out, sums.begin(), M, N);
  }
}

// losses (n), grad (n, V) from logits (n, V), targets and weights (n).
void gpt_cross_entropy(float* losses, bf16* grad, const bf16* logits, const int64_t* targets,
                       const float* weights, int64_t n, int64_t V, int n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    const Buffer<float> powers(V);
#pragma omp for
    for (int64_t i = 0; i < n; i++)
      losses[i] =
          cross_entropy(grad + i * V, powers.begin(), logits + i * V, V, targets[i], weights[i]);
  }
}

// losses (n), and the gradients of x (n, C) and W (V, C), from those, targets and weights (n).
void gpt_head(float* losses, bf16* grad_x, bf16* grad_weight, const bf16* x, const bf16* weight,
              const int64_t* targets, const float* weights, int64_t n, int64_t V, int64_t C,
              int n_threads) {
  const HeadSizes s{n, C, V};
  const HeadWorkspace work(s);
  const Buffer<bf16> whole(s.width() * C);
  copy_padded(whole.begin(), s.width(), weight, C, V, C);
#pragma omp parallel num_threads(n_threads)
  head(Tiles(), work, losses, grad_x, grad_weight, x, whole.begin(), targets, weights, s);
}

// As gpt_head, but the products are in int8.
void gpt_head_int8(float* losses, bf16* grad_x, bf16* grad_weight, const bf16* x,
                   const bf16* weight, const int64_t* targets, const float* weights, int64_t n,
                   int64_t V, int64_t C, int n_threads) {
  const HeadSizes s{n, C, V};
  const HeadInt8Workspace work(s);
  const Buffer<bf16> whole(s.width() * C);
  copy_padded(whole.begin(), s.width(), weight, C, V, C);
#pragma omp parallel num_threads(n_threads)
  head_int8(work, losses, grad_x, grad_weight, x, whole.begin(), targets, weights, s);
}

// out (n, C) and kept (n, 2) of x (n, C) and weight (C).
void gpt_norm(bf16* out, float* kept, const bf16* x, const bf16* weight, int64_t n, int64_t C,
              float epsilon, int centered, int n_threads) {
#pragma omp parallel for num_threads(n_threads)
  for (int64_t i = 0; i < n; i++)
    normalize(out + i * C, kept + 2 * i, x + i * C, weight, C, epsilon, centered);
}

// grad (n, C) and to_weight (C), of grad_out and what gpt_norm had and gave.
void gpt_norm_backward(bf16* grad, bf16* to_weight, const bf16* grad_out, const bf16* x,
                       const bf16* weight, const float* kept, int64_t n, int64_t C, int centered,
                       int n_threads) {
  const int64_t width = round_up(C), n_pieces = (n + PIECE_OF_ROWS - 1) / PIECE_OF_ROWS;
  const Buffer<float> buffer(n_pieces * width);
  float* const sums = buffer.begin();
#pragma omp parallel for num_threads(n_threads)
  for (int64_t piece = 0; piece < n_pieces; piece++) {
    float* own = sums + piece * width;
    std::memset(own, 0, width * sizeof(float));
    for (int64_t i = piece * PIECE_OF_ROWS; i < std::min(n, (piece + 1) * PIECE_OF_ROWS); i++)
      normalize_backward(grad + i * C, own, grad_out + i * C, x + i * C, weight, kept + 2 * i, C,
                         centered);
  }
  for (int64_t c = 0; c < C; c += LANES) {
    __m512 total = _mm512_setzero_ps();
    for (int64_t piece = 0; piece < n_pieces; piece++)
      total = _mm512_add_ps(total, _mm512_loadu_ps(sums + piece * width + c));
    store(to_weight + c, total, first(C - c));
  }
}

// out like qkv (n tokens, 3, H, D): q and k turned by the angles (T, D / 2) of their positions, or
// null, and normalized, or not; v as it is. Positions run from 0 to T − 1, and again.
void gpt_turn(bf16* out, const bf16* qkv, const bf16* cos, const bf16* sin, int64_t n, int64_t T,
              int64_t H, int64_t D, float epsilon, int norm, int n_threads) {
  each_q_and_k(out, qkv, cos, sin, n, T, H, D, n_threads, [&](int64_t at, Angle angle) {
    turn(out + at, qkv + at, D, angle, norm, epsilon);
  });
}

// grad like qkv, of grad_out and what gpt_turn had.
void gpt_turn_backward(bf16* grad, const bf16* grad_out, const bf16* qkv, const bf16* cos,
                       const bf16* sin, int64_t n, int64_t T, int64_t H, int64_t D, float epsilon,
                       int norm, int n_threads) {
  each_q_and_k(grad, grad_out, cos, sin, n, T, H, D, n_threads, [&](int64_t at, Angle angle) {
    turn_backward(grad + at, grad_out + at, qkv + at, D, angle, norm, epsilon);
  });
}

// The norm of all n tensors of these sizes together.
void gpt_norm_of_all(float* norm, const bf16* const* tensors, const int64_t* sizes, int64_t n,
                     int n_threads) {
  int64_t n_pieces = 0;
  for (int64_t t = 0; t < n; t++) n_pieces += pieces_of(sizes[t]);
  const Buffer<float> sums(n_pieces);
  each_piece(sizes, n, n_threads, [&](int64_t t, int64_t start, int64_t length, int64_t piece) {
    sums.begin()[piece] = sum_of_squares(tensors[t] + start, length);
  });
  double total = 0;
  for (int64_t piece = 0; piece < n_pieces; piece++) total += sums.begin()[piece];
  *norm = std::sqrt(total);
}

// A step of n weights and their copies, moments and gradients: of these sizes.
void gpt_adamw(float* const* weights, bf16* const* copies, float* const* means,
               float* const* squares, const bf16* const* gradients, const int64_t* sizes,
               int64_t n, float clip, float shrink, float rate, float beta1, float beta2,
               float root, float epsilon, int n_threads) {
  const AdamW step{clip, shrink, rate, beta1, beta2, root, epsilon};
  each_piece(sizes, n, n_threads, [&](int64_t t, int64_t start, int64_t length, int64_t) {
    step(weights[t] + start, copies[t] + start, means[t] + start, squares[t] + start,
         gradients[t] + start, length);
  });
}

// ahead (n, the shorter side, the longer) of n matrices' gradients and momenta; the matrices are
// of sizes (rows, columns), and turned where that is not (shorter, longer).
void gpt_look_ahead(bf16* ahead, float* const* momenta, const bf16* const* gradients,
                    const int64_t* rows, int64_t n, int64_t area, float clip, float decay,
                    float margin, int n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    const Buffer<bf16> scratch(area);
#pragma omp for
    for (int64_t i = 0; i < n; i++) {
      const int64_t columns = area / rows[i];
      look_ahead(ahead + i * area, rows[i] > columns ? scratch.begin() : nullptr, momenta[i],
                 gradients[i], rows[i], columns, clip, decay, margin);
    }
  }
}

// n matrices and their copies move against updates (n, the shorter side, the longer).
void gpt_move(float* const* weights, bf16* const* copies, const bf16* updates, const int64_t* rows,
              int64_t n, int64_t area, float shrink, float rate, int n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    const Buffer<bf16> scratch(area);
#pragma omp for
    for (int64_t i = 0; i < n; i++) {
      const int64_t columns = area / rows[i];
      move(weights[i], copies[i], updates + i * area,
           rows[i] > columns ? scratch.begin() : nullptr, rows[i], columns, shrink, rate);
    }
  }
}
}
