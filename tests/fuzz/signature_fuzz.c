/* Signatures: what is accepted must mean the same when its canonical form is read again. */
#include "base/err.h"
#include "eth/signature.h"
#include "fuzz.h"

#include <string.h>

static void check(int (*parse)(const char *, size_t, struct signature *, struct err *),
                  const char *text, size_t n)
{
    struct signature sig, again;
    struct err err = {0};
    if (parse(text, n, &sig, &err) < 0) {
        HOLDS(strncmp(err.text, "column ", 7) == 0);
        return;
    }
    HOLDS(sig.n_params >= 0 && sig.n_params <= SIG_PARAMS);
    HOLDS(parse(sig.canonical, strlen(sig.canonical), &again, NULL) == 0);
    HOLDS(strcmp(again.canonical, sig.canonical) == 0);
    HOLDS(hash_equal(&again.hash, &sig.hash));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check(view_parse, (const char *)data, n);
    check(event_parse, (const char *)data, n);
    return 0;
}
