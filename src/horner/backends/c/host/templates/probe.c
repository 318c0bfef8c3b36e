/* What this x86 processor, and its operating system, can do: 3 AVX-512 with VNNI, 2 AVX-512, 1 AVX2, 0 less. */
#include <cpuid.h>
#include <stdint.h>

int horner_probe(void);

int horner_probe(void)
{
    uint32_t a, b, c, d, states, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1) || !(c >> 12 & 1)) { /* OSXSAVE, FMA */
        return 0;
    }
    __asm__("xgetbv" : "=a"(states), "=d"(high) : "c"(0));
    if ((states & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b >> 5 & 1)) { /* AVX2 */
        return 0;
    }
    const uint32_t wanted = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F, DQ, CD, BW, VL */
    if ((states & 0xe6) != 0xe6 || (b & wanted) != wanted) {
        return 1;
    }
    return c >> 11 & 1 ? 3 : 2;
}
