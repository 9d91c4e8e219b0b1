/* A file of wallets by its name: opened, read, and its bad lines told. */
#include "cli/wallet_file.h"

#include "base/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

enum { BAD_TOLD = 20 };

static void wallet_load_tell_bad(void *ctx, uint64_t line, const char *why)
{
    uint64_t *told = ctx;
    if (++*told <= BAD_TOLD)
        fprintf(stderr, "line %" PRIu64 ": %s\n", line, why);
}

int wallet_file_load(const char *name, struct wallet_list *ret, struct err *err)
{
    uint64_t told = 0;
    bool is_stdin = strcmp(name, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(name, "re");
    if (!f)
        return err_set(err, ERR_USAGE, "cannot open \"%s\": %s", name, strerror(errno));
    int rc = wallet_file_read(f, ret, wallet_load_tell_bad, &told, err);
    if (!is_stdin)
        fclose(f);
    if (told > BAD_TOLD)
        fprintf(stderr, "… and %" PRIu64 " lines more\n", told - BAD_TOLD);
    return rc < 0 ? err_wrap(err, "%s", name) : 0;
}

int wallet_file_load_strict(const char *name, struct wallet_list *ret, struct err *err)
{
    if (wallet_file_load(name, ret, err) < 0)
        return -1;
    if (ret->bad == 0)
        return 0;
    err_set(err, ERR_USAGE, "%s: %" PRIu64 " of %" PRIu64 " lines are no wallets", name, ret->bad,
            ret->lines);
    return err_hint(err, "correct them, or take them out");
}
