/*
 * What a balance's table has that decides how it is written: triggers of the application, row
 * security, and whether this program made it. Asked of the database again after some seconds, since
 * an application changes its tables while we run.
 */
#ifndef STORE_TRAITS_H
#define STORE_TRAITS_H

#include "store/driver.h"

struct traits {
    bool row_triggers; /* of the application, enabled */
    bool row_security; /* policies are enabled on the table */
    bool made;         /* this program created the table */
};

int traits_get(struct store *s, const struct store_balance *b, struct traits *ret, struct err *err);
/* This program created the table: kept in trueup_state. */
int traits_keep_made(struct store *s, const struct store_balance *b, struct err *err);
void traits_free(struct store *s); /* they are asked for again */

#endif
