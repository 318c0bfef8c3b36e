/* What one core of this machine can do at most: multiply-accumulates of three kinds, and reading memory.
 *
 * Every kernel keeps its independent sums in registers and returns how many multiply-accumulates it did, or 0 where
 * the processor has no such instruction. The empty asm stops the compiler from computing anything but once each time. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SUMS 12

#if defined(__x86_64__)
#include <immintrin.h>
#define OPAQUE(value) __asm__ volatile("" : "+x"(value))
#if defined(__AVX512F__) && defined(__AVX512BW__)
#undef OPAQUE
#define OPAQUE(value) __asm__ volatile("" : "+v"(value))
#define BYTES 64
typedef __m512 floats;
typedef __m512i integers;
#define FLOAT_MAC(sum, x, y) _mm512_fmadd_ps(x, y, sum)
#if defined(__AVX512VNNI__)
#define INT16_MAC(sum, x, y) _mm512_dpwssd_epi32(sum, x, y)
#define INT8_MAC(sum, x, y) _mm512_dpbusd_epi32(sum, x, y)
#else
#define INT16_MAC(sum, x, y) _mm512_add_epi32(sum, _mm512_madd_epi16(x, y))
#endif
#elif defined(__AVX2__) && defined(__FMA__)
#define BYTES 32
typedef __m256 floats;
typedef __m256i integers;
#define FLOAT_MAC(sum, x, y) _mm256_fmadd_ps(x, y, sum)
#define INT16_MAC(sum, x, y) _mm256_add_epi32(sum, _mm256_madd_epi16(x, y))
#if defined(__AVXVNNI__)
#define INT8_MAC(sum, x, y) _mm256_dpbusd_avx_epi32(sum, x, y)
#endif
#else
#define BYTES 16
typedef __m128 floats;
typedef __m128i integers;
#define FLOAT_MAC(sum, x, y) _mm_add_ps(sum, _mm_mul_ps(x, y))
#define INT16_MAC(sum, x, y) _mm_add_epi32(sum, _mm_madd_epi16(x, y))
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#define OPAQUE(value) __asm__ volatile("" : "+w"(value))
#define BYTES 16
typedef float32x4_t floats;
typedef int32x4_t integers;
#define FLOAT_MAC(sum, x, y) vfmaq_f32(sum, x, y)
/* half of the lanes: one instruction multiplies four */
#define INT16_MAC(sum, x, y) vmlal_s16(sum, vget_low_s16(vreinterpretq_s16_s32(x)), vget_low_s16(vreinterpretq_s16_s32(y)))
#define INT16_LANES 4
#if defined(__ARM_FEATURE_DOTPROD)
#define INT8_MAC(sum, x, y) vdotq_s32(sum, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y))
#endif
#else
#define OPAQUE(value) __asm__ volatile("" : "+m"(value))
#define BYTES 16
typedef float floats __attribute__((vector_size(16)));
typedef int32_t integers __attribute__((vector_size(16)));
#define FLOAT_MAC(sum, x, y) ((sum) + (x) * (y))
#endif

#ifndef INT16_LANES
#define INT16_LANES (BYTES / 2)
#endif

#define KERNEL(name, vector, mac, lanes)                                                                              \
    double name(uint64_t rounds)                                                                                      \
    {                                                                                                                 \
        vector sums[SUMS], x, y;                                                                                      \
        memset(sums, 0, sizeof sums);                                                                                 \
        memset(&x, 0, sizeof x);                                                                                      \
        memset(&y, 0, sizeof y);                                                                                      \
        for (uint64_t i = 0; i < rounds; i++) {                                                                       \
            _Pragma("clang loop unroll(full)") for (int s = 0; s < SUMS; s++)                                         \
            {                                                                                                         \
                OPAQUE(x);                                                                                            \
                sums[s] = mac(sums[s], x, y);                                                                         \
            }                                                                                                         \
        }                                                                                                             \
        for (int s = 0; s < SUMS; s++)                                                                                \
            OPAQUE(sums[s]);                                                                                          \
        return (double)rounds * SUMS * (lanes);                                                                       \
    }

KERNEL(peak_float32, floats, FLOAT_MAC, BYTES / 4)

#ifdef INT16_MAC
KERNEL(peak_int16, integers, INT16_MAC, INT16_LANES)
#else
double peak_int16(uint64_t rounds)
{
    (void)rounds;
    return 0;
}
#endif

#ifdef INT8_MAC
KERNEL(peak_int8, integers, INT8_MAC, BYTES)
#else
double peak_int8(uint64_t rounds)
{
    (void)rounds;
    return 0;
}
#endif

/* Read all of a buffer (a multiple of 8 vectors, aligned or not); the bytes read. */
double read_all(const uint8_t *buffer, uint64_t size, uint64_t rounds)
{
    integers sums[8];
    memset(sums, 0, sizeof sums);
    for (uint64_t i = 0; i < rounds; i++) {
        for (uint64_t at = 0; at + 8 * sizeof(integers) <= size; at += 8 * sizeof(integers)) {
            _Pragma("clang loop unroll(full)") for (int s = 0; s < 8; s++)
            {
                integers value;
                memcpy(&value, buffer + at + s * sizeof value, sizeof value);
                sums[s] ^= value;
            }
        }
        OPAQUE(sums[0]);
    }
    for (int s = 0; s < 8; s++)
        OPAQUE(sums[s]);
    return (double)rounds * (double)size;
}
