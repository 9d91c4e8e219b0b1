/* What the targets share. A property that does not hold ends the process, as a crash would. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define HOLDS(property)                                                                            \
    do {                                                                                           \
        if (!(property))                                                                           \
            __builtin_trap();                                                                      \
    } while (0)

/* Reads every byte, so that AddressSanitizer sees a slice that is too long. */
static inline void touch(const uint8_t *bytes, size_t n)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = (uint8_t)(sum + bytes[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
