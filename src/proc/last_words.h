/*
 * What a worker says when it dies of itself: which signal, at which address, and the calls that led
 * there, into its part of the shared page, from where the supervisor takes them for the obituary.
 *
 * The handler runs in a process that is broken: it allocates nothing, takes no lock, and has three
 * seconds. Everything it needs is made ready beforehand. Addresses are given as FILE+OFFSET, so
 * that `addr2line -e FILE OFFSET` reads them wherever the program was loaded.
 */
#ifndef PROC_LAST_WORDS_H
#define PROC_LAST_WORDS_H

/* After counters_attach(). In a build with AddressSanitizer, which has a say of its own, nothing
 * is installed. */
void last_words_install(void);

#endif
