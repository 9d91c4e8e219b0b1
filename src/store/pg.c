#include "base/err.h"
#include "store/backend.h"
int pg_open(const char *url, const char *who, struct store **ret, struct err *err)
{
    (void)url;
    (void)who;
    (void)ret;
    return err_set(err, ERR_STORE, "PostgreSQL is not there yet");
}
