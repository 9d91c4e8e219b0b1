/*
 * Allocation that does not fail.
 *
 * Every size asked for is bounded by a ceiling checked beforehand, so running out means the machine
 * is out of memory, not that an input was large. There is one honest answer to that in a process
 * that keeps nothing it cannot read back from the database: say so and die. The supervisor starts
 * it again. No caller carries an untested branch for NULL.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

enum { MEM_EXIT_STATUS = 70 }; /* how a process ends that got no memory */

/* Ends the process with that status. For who hears from a library that it got none: the library may
 * go on failing for ever, a fresh process does not. */
_Noreturn void mem_out(void);

void *mem_alloc(size_t n);                          /* uninitialised */
void *mem_zero(size_t count, size_t size);          /* zeroed; count * size is checked */
void *mem_grow(void *p, size_t count, size_t size); /* realloc; count * size is checked */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
void mem_free(void *p); /* NULL is fine */
/* Hands back to the system what is free: after a large step the C library keeps its memory for
 * ever. A millisecond at most, for the sizes of ours; so not in a loop. */
void mem_give_back(void);

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
