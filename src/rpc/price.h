/*
 * What a request costs, in the units its provider bills: a table per provider, or the user's own.
 *
 * The figures are the providers' published ones and change with them; they pace and account, and
 * nothing about a balance depends on their being right.
 */
#ifndef RPC_PRICE_H
#define RPC_PRICE_H

#include "conf/conf.h"

/* A method that the user's own table leaves out costs what its dearest one costs: a budget is kept
 * to rather than overrun. */
uint64_t price_of(const struct conf_endpoint *e, const char *method);

enum price_push {
    PRICE_PUSH_HEAD,
    PRICE_PUSH_LOG,       /* the first of its block */
    PRICE_PUSH_LOG_AGAIN, /* another log of that block */
};
/* What a pushed message of so many bytes costs, in thousandths of a unit. A user's own table bills
 * it as eth_subscribe. */
uint64_t price_of_push(const struct conf_endpoint *e, enum price_push kind, size_t bytes);

#endif
