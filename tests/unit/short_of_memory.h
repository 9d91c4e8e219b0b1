/*
 * Work that is done again and again in children, each with one allocation that fails: the first of
 * the process, whoever makes it, the second …, until one is through without.
 *
 * A program that is linked with this has malloc of its own, so not with a sanitizer's.
 */
#ifndef TESTS_SHORT_OF_MEMORY_H
#define TESTS_SHORT_OF_MEMORY_H

#include <stddef.h>

/* work() begins to be short of memory when it calls memory_counts(); it returns 0 when all is as it
 * must be. Each child must end with that, or with MEM_EXIT_STATUS, within a few seconds: anything
 * else fails the test. */
struct short_of_memory {
    size_t allocations;
    size_t borne; /* by going on */
};
struct short_of_memory each_allocation_fails(const char *name, int (*work)(void *ctx), void *ctx);

void memory_counts(void);
void memory_is_plenty(void); /* from here on none fails */

#endif
