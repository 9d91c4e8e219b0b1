/*
 * Kinds whose value is a text: names, URLs, addresses and the like.
 */
#include "base/mem.h"
#include "base/parse.h"
#include "base/url.h"
#include "conf/value.h"

#include <ctype.h>
#include <string.h>

static void value_keep_text(struct decoder *d, const struct spot *s, const char *text, void *base)
{
    const char *copy = arena_strdup(d->arena, text);
    memcpy((char *)base + s->row->offset, &copy, sizeof copy);
}

static const char *value_kept_text(const struct setting *row, const void *base)
{
    const char *text;
    memcpy(&text, (const char *)base + row->offset, sizeof text);
    return text;
}

static void value_text_write(const struct setting *row, const void *base, struct buf *out)
{
    if (value_kept_text(row, base))
        value_quote(value_kept_text(row, base), out);
}

static void value_or_off_write(const struct setting *row, const void *base, struct buf *out)
{
    value_quote(value_kept_text(row, base) ? value_kept_text(row, base) : "off", out);
}

static bool value_fits(struct decoder *d, const struct spot *s, size_t n)
{
    return n <= s->row->max || spot_refuse(d, s, "too long");
}

/* --- names --- */

static size_t value_ident_length(const char *s)
{
    size_t n = 0;
    if (islower((unsigned char)s[0]) || s[0] == '_')
        while (islower((unsigned char)s[n]) || isdigit((unsigned char)s[n]) || s[n] == '_')
            n++;
    return n;
}

static bool value_name_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                            void *base)
{
    if (!value_fits(d, s, n))
        return false;
    if (!islower((unsigned char)text[0]) || value_ident_length(text) != n)
        return spot_refuse(d, s, "not a name");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_name = {
    .name = "name",
    .scalar = true,
    .read_text = value_name_read,
    .write = value_text_write,
    .expects = "a letter and at most {max-1} letters, digits and _, in lower case"};

static bool value_label_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                             void *base)
{
    if (!value_fits(d, s, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("_.:[]-", text[i]))
            return spot_refuse(d, s, "not a label");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_label = {.name = "label",
                                .scalar = true,
                                .read_text = value_label_read,
                                .write = value_text_write,
                                .expects = "at most {max} letters, digits and _ . : [ ] -"};

/* The ceiling of the table's own part leaves room for "_updated_at_idx" within PostgreSQL's 63. */
static bool value_table_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                             void *base)
{
    static const char own[] = "trueup_", derived[] = "_balances";
    size_t schema = value_ident_length(text);
    const char *table = schema && text[schema] == '.' ? text + schema + 1 : text;
    size_t len = value_ident_length(table);
    if (len == 0 || table + len != text + n || schema > 63)
        return spot_refuse(d, s, "not a table name");
    if (!value_fits(d, s, len))
        return false;
    bool ours = strncmp(table, own, sizeof own - 1) == 0 &&
                (len < sizeof derived || strcmp(table + len - (sizeof derived - 1), derived) != 0);
    if (ours || strcmp(table, "eth_indexer_checkpoints") == 0)
        return spot_refuse_at(d, s, 0, "reserved for trueup itself", "another table name");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_table = {
    .name = "table name",
    .scalar = true,
    .read_text = value_table_read,
    .write = value_text_write,
    .expects = "TABLE or SCHEMA.TABLE of lower-case letters, digits and _, at most {max}"};

static bool value_text_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                            void *base)
{
    if (!value_fits(d, s, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)text[i]))
            return spot_refuse(d, s, "a blank or a letter beyond ASCII");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_text = {.name = "text",
                               .scalar = true,
                               .read_text = value_text_read,
                               .write = value_text_write,
                               .expects = "at most {max} letters, digits and signs"};

/* --- URLs --- */

static bool value_blank_free(const char *s)
{
    for (; *s; s++)
        if (!isgraph((unsigned char)*s))
            return false;
    return true;
}

/* Is text "scheme://…" with a scheme of the words? */
static bool value_scheme_in(const char *words, const char *text)
{
    size_t n = strcspn(text, ":");
    if (strncmp(text + n, "://", 3) != 0)
        return false;
    for (const char *w = words; *w; w += strcspn(w, " ") + (w[strcspn(w, " ")] == ' '))
        if (strcspn(w, " ") == n && strncmp(w, text, n) == 0)
            return true;
    return false;
}

static bool value_url_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                           void *base)
{
    char host[256];
    if (!value_fits(d, s, n))
        return false;
    if (!strstr(text, "://"))
        return spot_refuse(d, s, "not a URL");
    if (!value_scheme_in(s->row->words, text))
        return spot_refuse(d, s, "bad URL scheme");
    if (!url_host(text, host, sizeof host))
        return spot_refuse(d, s, "URL without a host");
    if (!value_blank_free(text))
        return spot_refuse(d, s, "URL with a blank or a letter beyond ASCII");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_url = {.name = "URL",
                              .scalar = true,
                              .read_text = value_url_read,
                              .write = value_text_write,
                              .expects = "{urls}"};

static bool value_socket_url_read(struct decoder *d, const struct spot *s, const char *text,
                                  size_t n, void *base)
{
    return strcmp(text, "off") == 0 || value_url_read(d, s, text, n, base);
}

const struct kind kind_socket_url = {.name = "URL or off",
                                     .scalar = true,
                                     .read_text = value_socket_url_read,
                                     .write = value_or_off_write,
                                     .expects = "{urls}, or off"};

/* No host is asked of a PostgreSQL URL: postgres:///app?host=/run/postgresql is a socket. */
static bool value_store_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                             void *base)
{
    static const char sqlite[] = "sqlite:";
    bool is_sqlite = strncmp(text, sqlite, sizeof sqlite - 1) == 0;
    if (!value_fits(d, s, n))
        return false;
    if (is_sqlite && n == sizeof sqlite - 1)
        return spot_refuse(d, s, "no file given in");
    if (!is_sqlite && !strstr(text, "://"))
        return spot_refuse(d, s, "not a store");
    if (!is_sqlite && !value_scheme_in("postgres postgresql", text))
        return spot_refuse(d, s, "bad URL scheme");
    if (!is_sqlite && !value_blank_free(text))
        return spot_refuse(d, s, "URL with a blank or a letter beyond ASCII");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_store = {.name = "URL",
                                .scalar = true,
                                .read_text = value_store_read,
                                .write = value_text_write,
                                .expects = "postgres://… or sqlite:FILE"};

/* --- addresses --- */

static bool value_address_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                               void *base)
{
    address a;
    char right[ADDRESS_TEXT];
    if (address_parse(text, n, &a, NULL) == 0) {
        memcpy((char *)base + s->row->offset, &a, sizeof a);
        return true;
    }
    if (!address_parse_loose(text, n, &a))
        return spot_refuse(d, s, "not an address");
    address_checksum(&a, right);
    return spot_refuse_at(d, s, 0, "bad address checksum", right);
}

static void value_address_write(const struct setting *row, const void *base, struct buf *out)
{
    char text[ADDRESS_TEXT];
    address a;
    memcpy(&a, (const char *)base + row->offset, sizeof a);
    address_checksum(&a, text);
    buf_addf(out, "'%s'", text);
}

const struct kind kind_address = {.name = "address",
                                  .scalar = true,
                                  .read_text = value_address_read,
                                  .write = value_address_write,
                                  .expects = "0x and 40 hex digits"};

static bool value_host_ok(const char *host, size_t n)
{
    bool six = n > 2 && host[0] == '[' && host[n - 1] == ']';
    for (size_t i = six; i < n - six; i++)
        if (!(six ? isxdigit((unsigned char)host[i]) || strchr(":.", host[i])
                  : isalnum((unsigned char)host[i]) || strchr(".-", host[i])))
            return false;
    return n > 0;
}

static bool value_listen_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                              void *base)
{
    uint64_t port;
    const char *colon = strrchr(text, ':');
    if (strcmp(text, "off") == 0)
        return true;
    if (!value_fits(d, s, n))
        return false;
    if (!colon || !value_host_ok(text, (size_t)(colon - text)))
        return spot_refuse(d, s, "not an address and port");
    if (!parse_u64(colon + 1, n - (size_t)(colon + 1 - text), &port) || port > 65535)
        return spot_refuse(d, s, "not a port");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_listen = {.name = "address or off",
                                 .scalar = true,
                                 .read_text = value_listen_read,
                                 .write = value_or_off_write,
                                 .expects =
                                     "ADDRESS:PORT such as 127.0.0.1:1325 or '[::]:1325', or off"};
