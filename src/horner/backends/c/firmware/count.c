/* count.c: what the emulator calls for every run of instructions without a jump in between. */
#include <stdint.h>

struct counter {
    uint64_t base;         /* address of the first byte of code */
    const int16_t *owners; /* of every byte of code; negative where many share it */
    int64_t *steps;        /* by owner, the shared one first: +1 where a run begins, -1 behind its end */
    uint64_t length;       /* of the steps of one owner */
    int64_t owner;         /* who ran last, and so called what is shared */
};

void count(void *emulator, uint64_t address, uint32_t size, struct counter *counter);

void count(void *emulator, uint64_t address, uint32_t size, struct counter *counter)
{
    const uint64_t at = address - counter->base;
    const int16_t last = counter->owners[at + size - 1];
    (void)emulator;
    if (last >= 0) {
        counter->owner = last;
    }
    int64_t *steps = counter->steps + (uint64_t)(counter->owner + 1) * counter->length;
    ++steps[at];
    --steps[at + size];
}
