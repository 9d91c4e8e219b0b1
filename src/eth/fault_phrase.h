/*
 * Finding a phrase with numbers in it, in text that strangers wrote. Less than a regular expression
 * on purpose: no repetition of groups, every wildcard and number has a ceiling, so the work for one
 * phrase is bounded by the text's length times a small constant.
 *
 * In a phrase, which is lower case as the text must be:
 *     @  a number, grouped with , or . or not, times 1000 when a k follows; remembered
 *     #  the same, not remembered
 *     %  a hex quantity with 0x, of at most 64 bits; remembered
 *     ~  a duration: "10s", "10m0s", "1.5s", "10 seconds", or seconds alone; remembered
 *     _  up to 4 characters that are neither letters nor digits
 *     *  up to 64 characters, as few as will do
 *     {…} may be absent; holds no other mark
 */
#ifndef ETH_FAULT_PHRASE_H
#define ETH_FAULT_PHRASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PHRASE_NUMBERS = 2 };

struct phrase_hit {
    int n;
    uint64_t number[PHRASE_NUMBERS]; /* saturated at UINT64_MAX */
    int64_t duration_ms;             /* −1 if the phrase has none; at most a day */
};

/* The first place where the phrase fits. */
bool phrase_find(const char *text, size_t n, const char *phrase, struct phrase_hit *ret);

#endif
