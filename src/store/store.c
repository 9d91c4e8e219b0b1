/* Opening a store: by its URL, one of the drivers. */
#include "store/traits.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct store_driver *store_driver_of(const char *url)
{
    if (strncmp(url, "sqlite:", 7) == 0)
        return &sq_driver;
    bool postgres = strncmp(url, "postgres://", 11) == 0 ||
                    strncmp(url, "postgresql://", 13) == 0 || strstr(url, "host=") ||
                    strstr(url, "dbname=");
    return postgres ? &pg_driver : NULL;
}

int store_find(const char *url, struct err *err)
{
    const char *file = strncmp(url, "sqlite:", 7) == 0 ? url + 7 : NULL;
    if (!file || access(file, F_OK) == 0)
        return 0;
    err_set(err, ERR_STORE, "there is no database \"%s\": %s", file, strerror(errno));
    return err_hint(err, "`trueup run` or `trueup migrate` makes one; a relative path in a "
                         "configuration file is taken from that file's folder");
}

int store_open(const char *url, const char *schema, const char *who, struct store **ret,
               struct err *err)
{
    const struct store_driver *driver = store_driver_of(url);
    char masked[URL_TEXT];
    url_masked(masked, url);
    if (!driver) {
        err_set(err, ERR_STORE, "store \"%s\" is neither PostgreSQL nor SQLite", masked);
        return err_hint(err, "write postgres://user@host/database or sqlite:FILE");
    }
    struct store *s = mem_zero(1, driver->size);
    s->driver = driver;
    s->url = mem_strdup(url);
    s->schema = schema && driver->has_schemas ? mem_strdup(schema) : NULL;
    s->who = mem_strdup(who);
    memcpy(s->masked, masked, sizeof masked);
    s->rng.state = rng_seed_from_system();
    if (driver->connect(s, err) != 0) {
        store_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

int store_reopen(struct store *s, struct err *err)
{
    s->depth = 0;
    s->scanning = false;
    traits_free(s);
    return s->driver->connect(s, err);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    s->driver->disconnect(s);
    traits_free(s);
    mem_free(s->url);
    mem_free(s->schema);
    mem_free(s->who);
    mem_free(s);
}

bool store_has_parallel_writers(const struct store *s)
{
    return s->driver->parallel_writers;
}
