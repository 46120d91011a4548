// The functions of kernels.cpp that block.cpp puts together.
#pragma once

#include <cstdint>

namespace gpt {
using bf16 = uint16_t;
}

extern "C" {

void gpt_norm(gpt::bf16* out, float* kept, const gpt::bf16* x, const gpt::bf16* weight, int64_t n,
              int64_t C, float epsilon, int centered, int n_threads);
void gpt_norm_backward(gpt::bf16* grad, gpt::bf16* to_weight, const gpt::bf16* grad_out,
                       const gpt::bf16* x, const gpt::bf16* weight, const float* kept, int64_t n,
                       int64_t C, int centered, int n_threads);

void gpt_linear(gpt::bf16* out, const gpt::bf16* x, const gpt::bf16* weight, int64_t n, int64_t M,
                int64_t C, int n_threads);
void gpt_linear_backward(gpt::bf16* grad_x, gpt::bf16* grad_weight, const gpt::bf16* grad_out,
                         const gpt::bf16* x, const gpt::bf16* weight, int64_t n, int64_t M,
                         int64_t C, int n_threads);
void gpt_linear_int8(gpt::bf16* out, const gpt::bf16* x, const gpt::bf16* weight, int64_t n,
                     int64_t M, int64_t C, int n_threads);
void gpt_linear_int8_backward(gpt::bf16* grad_x, gpt::bf16* grad_weight, const gpt::bf16* grad_out,
                              const gpt::bf16* x, const gpt::bf16* weight, int64_t n, int64_t M,
                              int64_t C, int n_threads);

void gpt_turn(gpt::bf16* out, const gpt::bf16* qkv, const gpt::bf16* cos, const gpt::bf16* sin,
              int64_t n, int64_t T, int64_t H, int64_t D, float epsilon, int norm, int n_threads);
void gpt_turn_backward(gpt::bf16* grad, const gpt::bf16* grad_out, const gpt::bf16* qkv,
                       const gpt::bf16* cos, const gpt::bf16* sin, int64_t n, int64_t T, int64_t H,
                       int64_t D, float epsilon, int norm, int n_threads);

void gpt_attention(gpt::bf16* out, float* kept, gpt::bf16* qkv, float scale, int64_t B, int64_t T,
                   int64_t H, int64_t D, int n_threads);
void gpt_attention_backward(gpt::bf16* grad, gpt::bf16* grad_out, gpt::bf16* qkv, gpt::bf16* out,
                            const float* kept, float scale, int64_t B, int64_t T, int64_t H,
                            int64_t D, int n_threads);

void gpt_activation(gpt::bf16* out, const gpt::bf16* x, int64_t n, int number, const float* gelu,
                    int n_threads);
void gpt_activation_backward(gpt::bf16* grad, const gpt::bf16* grad_out, const gpt::bf16* x,
                             int64_t n, int number, const float* gelu, int n_threads);
void gpt_mlp(gpt::bf16* out, gpt::bf16* hidden, const gpt::bf16* x, const gpt::bf16* expand,
             const gpt::bf16* project, int64_t n, int64_t C, int64_t H, int number,
             const float* gelu, int n_threads);
void gpt_mlp_backward(gpt::bf16* grad_x, gpt::bf16* grad_expand, gpt::bf16* grad_project,
                      const gpt::bf16* grad_out, const gpt::bf16* x, const gpt::bf16* hidden,
                      const gpt::bf16* expand, const gpt::bf16* project, int64_t n, int64_t C,
                      int64_t H, int number, const float* gelu, int n_threads);
}
