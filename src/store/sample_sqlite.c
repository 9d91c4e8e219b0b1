/* SQLite: a fair sample. */
#include "store/sample.h"
#include "store/sqlite.h"

/* One walk over the keys, of which those that stay are put aside: the table has no row numbers that
 * could be drawn, and to draw points of the key space would favour rows that stand alone. A step of
 * the walk costs a fraction of a microsecond, and no request waits for it. */
int sq_sample(struct store *s, const struct store_balance *b, struct reservoir *r, struct err *err)
{
    struct db_query q = {.sql = "SELECT wallet FROM {t}", .b = b};
    struct db_rows rows;
    int rc;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    while ((rc = db_next(&rows, err)) == 1) {
        address wallet, *place;
        if (db_get_address(&rows, 0, &wallet) && (place = reservoir_place(r)))
            *place = wallet;
    }
    return rc;
}
