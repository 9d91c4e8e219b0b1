/* PostgreSQL: notices and warnings, which libpq would print, become log records. */
#include "store/pg.h"

#include "base/log.h"
#include "proc/counters.h"

#include <stdio.h>
#include <string.h>

static const char *pg_notice_field(const PGresult *res, int field, const char *without)
{
    const char *text = PQresultErrorField(res, field);
    return text ? text : without;
}

/* One of a batch is kept: what it means is known when the batch ends. */
void pg_on_notice(void *pg, const PGresult *res)
{
    struct pg *s = pg;
    char words[400];
    const char *code = pg_notice_field(res, PG_DIAG_SQLSTATE, "");
    bool warning =
        strcmp(pg_notice_field(res, PG_DIAG_SEVERITY_NONLOCALIZED, "WARNING"), "WARNING") == 0;
    url_scrub(words, sizeof words,
              pg_notice_field(res, PG_DIAG_MESSAGE_PRIMARY, PQresultErrorMessage(res)),
              s->base.url);
    words[strcspn(words, "\n")] = '\0';
    if (!warning) {
        log_debug("notice of the database", LOG_STR("notice", words), LOG_STR("code", code));
    } else if (!s->warned.kept) {
        counters_add(CELL_DB_WARNINGS, 1);
        log_warn("the database warns", LOG_STR("warning", words), LOG_STR("code", code));
    } else if (s->warned.n++ == 0) {
        snprintf(s->warned.code, sizeof s->warned.code, "%s", code);
        snprintf(s->warned.words, sizeof s->warned.words, "%.199s", words);
    }
}

void pg_tell_warning(const struct pg *s, const address *wallet)
{
    char text[ADDRESS_TEXT];
    address_text(wallet, text);
    counters_add(CELL_DB_WARNINGS, s->warned.n);
    log_warn("a trigger warns at each try, the row is written all the same",
             LOG_STR("wallet", text), LOG_STR("warning", s->warned.words),
             LOG_STR("code", s->warned.code));
}
