/*
 * Wallets from a file that people or spreadsheets made: one a line, or CSV with the wallet in the
 * first column, or in the one that the first line calls "wallet" or "address". Blank lines and
 * those that start with # are passed by; mixed case must have its checksum right.
 */
#ifndef CLI_WALLET_FILE_H
#define CLI_WALLET_FILE_H

#include "eth/address.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;

enum { WALLET_FILE_MOST = 50000000 }; /* wallets: a gigabyte */

struct wallet_list {
    address *list; /* mem_free() it */
    size_t n, room;
    uint64_t lines, bad; /* read; that are no wallets */
};

void wallet_list_add(struct wallet_list *l, const address *wallets, size_t n);
/* Appends words of a command line; −1 with ERR_USAGE, and the list freed, when one is no wallet. */
int wallet_list_parse(struct wallet_list *l, char *const *texts, int n, struct err *err);
/* Sorted, each once. */
void wallet_list_sort_unique(struct wallet_list *l);
void wallet_list_free(struct wallet_list *l);

/* Appends what f holds. bad() is told each line that is no wallet, in words, and reading goes on.
 * −1: the file cannot be read, or is over the ceiling. */
int wallet_file_read(FILE *f, struct wallet_list *ret,
                     void (*bad)(void *ctx, uint64_t line, const char *why), void *ctx,
                     struct err *err);

/* The file of this name, or stdin for "-". Its first bad lines are told on stderr, and ret->bad
 * counts them all. */
int wallet_file_load(const char *name, struct wallet_list *ret, struct err *err);
/* The same; a bad line is an error. */
int wallet_file_load_strict(const char *name, struct wallet_list *ret, struct err *err);

#endif
