#include "cli/wallet_file.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE_MAX_BYTES = 4096 };

void wallet_list_add(struct wallet_list *l, const address *wallets, size_t n)
{
    if (n == 0)
        return; /* while the list is empty, there is no place to copy nothing to */
    while (l->n + n > l->room) {
        l->room = l->room ? l->room * 2 : 1024;
        l->list = mem_grow(l->list, l->room, sizeof *l->list);
    }
    memcpy(l->list + l->n, wallets, n * sizeof *wallets);
    l->n += n;
}

int wallet_list_parse(struct wallet_list *l, char *const *texts, int n, struct err *err)
{
    address wallet;
    for (int i = 0; i < n; i++) {
        if (address_parse(texts[i], strlen(texts[i]), &wallet, err) < 0) {
            wallet_list_free(l);
            err->kind = ERR_USAGE;
            return -1;
        }
        wallet_list_add(l, &wallet, 1);
    }
    return 0;
}

void wallet_list_sort_unique(struct wallet_list *l)
{
    size_t kept = 0;
    if (l->n < 2)
        return;
    qsort(l->list, l->n, sizeof *l->list, address_compare_elements);
    for (size_t i = 1; i < l->n; i++)
        if (!address_equal(&l->list[kept], &l->list[i]))
            l->list[++kept] = l->list[i];
    l->n = kept + 1;
}

void wallet_list_free(struct wallet_list *l)
{
    mem_free(l->list);
    *l = (struct wallet_list){0};
}

/* ---- lines ----------------------------------------------------------------------------------- */

struct wallet_field {
    const char *at;
    size_t n;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct wallet_field wallet_file_trim(const char *at, size_t n)
{
    while (n > 0 && is_blank(*at)) {
        at++;
        n--;
    }
    while (n > 0 && is_blank(at[n - 1]))
        n--;
    if (n >= 2 && at[0] == '"' && at[n - 1] == '"') {
        at++;
        n -= 2;
    }
    return (struct wallet_field){at, n};
}

/* The column of a line of CSV; separators are , ; and tab. A quoted field in front of it may hold
 * none of them: wallets stand first, or in files that have no prose. */
static bool field_at(const char *line, size_t column, struct wallet_field *ret)
{
    for (; column > 0; column--) {
        line += strcspn(line, ",;\t");
        if (!*line)
            return false;
        line++;
    }
    *ret = wallet_file_trim(line, strcspn(line, ",;\t"));
    return true;
}

/* The first line may name the columns. */
static bool is_header(const char *line, size_t *ret_column)
{
    struct wallet_field f;
    for (size_t i = 0; field_at(line, i, &f); i++)
        if ((f.n == 6 && strncasecmp(f.at, "wallet", f.n) == 0) ||
            (f.n == 7 && strncasecmp(f.at, "address", f.n) == 0)) {
            *ret_column = i;
            return true;
        }
    return false;
}

/* False at the end of the file. *ret_odd: more than fits, or a NUL in it: no line of text. */
static bool next_line(FILE *f, char line[LINE_MAX_BYTES], bool *ret_odd)
{
    size_t n = 0;
    int c;
    *ret_odd = false;
    while ((c = getc_unlocked(f)) != EOF && c != '\n') {
        *ret_odd |= c == 0 || n == LINE_MAX_BYTES - 1;
        if (!*ret_odd)
            line[n++] = (char)c;
    }
    line[n] = '\0';
    return c == '\n' || n > 0 || *ret_odd;
}

static void take_line(struct wallet_list *l, const char *line, size_t column,
                      void (*bad)(void *ctx, uint64_t line, const char *why), void *ctx)
{
    struct wallet_field f;
    address wallet;
    struct err why = {0};
    if (!field_at(line, column, &f))
        err_set(&why, ERR_USAGE, "has no column %zu", column + 1);
    else if (address_parse(f.at, f.n, &wallet, &why) == 0) {
        wallet_list_add(l, &wallet, 1);
        return;
    }
    l->bad++;
    bad(ctx, l->lines, why.text);
}

int wallet_file_read(FILE *f, struct wallet_list *ret,
                     void (*bad)(void *ctx, uint64_t line, const char *why), void *ctx,
                     struct err *err)
{
    char line[LINE_MAX_BYTES];
    size_t column = 0;
    bool begun = false, odd;
    while (next_line(f, line, &odd)) {
        ret->lines++;
        struct wallet_field all = wallet_file_trim(line, strlen(line));
        if (!odd && (all.n == 0 || all.at[0] == '#'))
            continue;
        if (odd) {
            ret->bad++;
            bad(ctx, ret->lines, "is no line of text");
        } else if (begun || !is_header(line, &column)) {
            take_line(ret, column ? line : all.at, column, bad, ctx); /* an indented line */
        }
        begun = true;
        if (ret->n > WALLET_FILE_MOST)
            return err_set(err, ERR_TOO_LARGE, "more than %d wallets in one file",
                           WALLET_FILE_MOST);
    }
    return ferror(f) ? err_set(err, ERR_FAILED, "cannot read it: %s", strerror(errno)) : 0;
}
