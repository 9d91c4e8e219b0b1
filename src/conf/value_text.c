/*
 * Kinds whose value is a text: names, URLs, addresses and the like.
 */
#include "base/mem.h"
#include "base/parse.h"
#include "base/url.h"
#include "conf/value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void value_keep_text(struct decoder *d, const struct spot *s, const char *text, void *base)
{
    const char *copy = arena_strdup(d->arena, text);
    memcpy((char *)base + s->row->offset, &copy, sizeof copy);
}

/* What was meant, where it can be told: a URL without or with another scheme, a bare file. */
static bool value_suggest(const struct kind *kind, const char *text, char ret[URL_TEXT])
{
    bool socket = kind == &kind_socket_url, store = kind == &kind_store;
    const char *rest = strstr(text, "://");
    bool plain = strncmp(text, "ws:", 3) == 0 || strncmp(text, "http:", 5) == 0;
    char other[URL_TEXT];
    if (kind != &kind_url && !socket && !store)
        return false;
    if (store) {
        size_t n = strlen(text);
        bool file = !rest && n < 100 && n > 3 && strcmp(text + n - 3, ".db") == 0;
        snprintf(ret, URL_TEXT, "sqlite:%.100s", text);
        return file;
    }
    if (!rest)
        return url_complete(ret, text, socket ? "ws" : "http", socket ? "wss" : "https");
    if (strncmp(text, "ws", 2) != 0 && strncmp(text, "http", 4) != 0)
        return false;
    url_masked(other, text);
    const char *host = strstr(other, "://");
    snprintf(ret, URL_TEXT, "%s%s", socket ? (plain ? "ws" : "wss") : (plain ? "http" : "https"),
             host ? host : "://…");
    return host != NULL;
}

static bool value_text_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                            void *base)
{
    char right[URL_TEXT];
    const struct kind *kind = s->row->kind;
    if (kind->may_be_off && strcmp(text, "off") == 0)
        return true;
    const char *flaw = n > s->row->max ? "too long" : kind->find_flaw(s->row, text);
    if (flaw && value_suggest(kind, text, right))
        return spot_refuse_at(d, s, 0, flaw, right);
    if (flaw)
        return spot_refuse(d, s, flaw);
    value_keep_text(d, s, text, base);
    return true;
}

static void value_text_write(const struct setting *row, const void *base, struct buf *out)
{
    const char *text;
    memcpy(&text, (const char *)base + row->offset, sizeof text);
    if (text || row->kind->may_be_off)
        value_quote(text ? text : "off", out);
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

static const char *value_name_flaw(const struct setting *row, const char *text)
{
    (void)row;
    bool fits = islower((unsigned char)text[0]) && text[value_ident_length(text)] == '\0';
    return fits ? NULL : "not a name";
}

const struct kind kind_name = {
    .name = "name",
    .read_text = value_text_read,
    .find_flaw = value_name_flaw,
    .write = value_text_write,
    .expects = "a letter and at most {max-1} letters, digits and _, in lower case"};

static const char *value_schema_flaw(const struct setting *row, const char *text)
{
    if (strncmp(text, "pg_", 3) == 0 || strcmp(text, "information_schema") == 0)
        return "reserved for PostgreSQL:";
    return value_name_flaw(row, text) ? "not a schema name" : NULL;
}

const struct kind kind_schema = {
    .name = "schema name",
    .read_text = value_text_read,
    .find_flaw = value_schema_flaw,
    .write = value_text_write,
    .expects = "a letter and at most {max-1} letters, digits and _, in lower case"};

static const char *value_label_flaw(const struct setting *row, const char *text)
{
    (void)row;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("_.:[]-", *text))
            return "not a label";
    return NULL;
}

const struct kind kind_label = {.name = "label",
                                .read_text = value_text_read,
                                .find_flaw = value_label_flaw,
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
    if (len > s->row->max)
        return spot_refuse(d, s, "too long");
    bool ours = strncmp(table, own, sizeof own - 1) == 0 &&
                (len < sizeof derived || strcmp(table + len - (sizeof derived - 1), derived) != 0);
    if (ours || strcmp(table, "eth_indexer_checkpoints") == 0)
        return spot_refuse_at(d, s, 0, "reserved for trueup itself", "another table name");
    value_keep_text(d, s, text, base);
    return true;
}

const struct kind kind_table = {
    .name = "table name",
    .read_text = value_table_read,
    .write = value_text_write,
    .expects = "TABLE or SCHEMA.TABLE of lower-case letters, digits and _, at most {max}"};

static bool value_blank_free(const char *s)
{
    for (; *s; s++)
        if (!isgraph((unsigned char)*s))
            return false;
    return true;
}

static const char *value_text_flaw(const struct setting *row, const char *text)
{
    (void)row;
    return value_blank_free(text) ? NULL : "a blank or a letter beyond ASCII";
}

const struct kind kind_text = {.name = "text",
                               .read_text = value_text_read,
                               .find_flaw = value_text_flaw,
                               .write = value_text_write,
                               .expects = "at most {max} letters, digits and signs"};

/* --- URLs --- */

/* Is text "scheme://…" with a scheme of the words? */
static bool value_has_scheme(const char *words, const char *text)
{
    size_t n = strcspn(text, ":");
    return strncmp(text + n, "://", 3) == 0 && value_word(words, text, n) >= 0;
}

static const char *value_url_flaw(const struct setting *row, const char *text)
{
    char host[256];
    if (!strstr(text, "://"))
        return "not a URL";
    if (!value_has_scheme(row->words, text))
        return "bad URL scheme";
    if (!url_host(text, host, sizeof host))
        return "URL without a host";
    return value_blank_free(text) ? NULL : "URL with a blank or a letter beyond ASCII";
}

const struct kind kind_url = {.name = "URL",
                              .read_text = value_text_read,
                              .find_flaw = value_url_flaw,
                              .write = value_text_write,
                              .expects = "{urls}"};

const struct kind kind_socket_url = {.name = "URL or off",
                                     .read_text = value_text_read,
                                     .find_flaw = value_url_flaw,
                                     .may_be_off = true,
                                     .write = value_text_write,
                                     .expects = "{urls}, or off"};

/* No host is asked of a PostgreSQL URL: postgres:///app?host=/run/postgresql is a socket. */
static const char *value_store_flaw(const struct setting *row, const char *text)
{
    static const char sqlite[] = "sqlite:";
    (void)row;
    if (strncmp(text, sqlite, sizeof sqlite - 1) == 0)
        return text[sizeof sqlite - 1] ? NULL : "no file given in";
    if (!strstr(text, "://"))
        return "not a store";
    if (!value_has_scheme("postgres postgresql", text))
        return "bad URL scheme";
    if (url_hides_host(text))
        return "a password with / ? or # in it, which a URL escapes as %2F %3F %23";
    return value_blank_free(text) ? NULL : "URL with a blank or a letter beyond ASCII";
}

/* libpq takes the first @ for the password's end, the first user's driver the last. */
static bool value_store_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                             void *base)
{
    char escaped[4096];
    if (strncmp(text, "postgres", 8) == 0 && url_escape_at(escaped, sizeof escaped, text))
        return value_text_read(d, s, escaped, strlen(escaped), base);
    return value_text_read(d, s, text, n, base);
}

const struct kind kind_store = {.name = "URL",
                                .read_text = value_store_read,
                                .find_flaw = value_store_flaw,
                                .write = value_text_write,
                                .expects = "postgres://… or sqlite:FILE"};

/* --- addresses --- */

static bool value_address_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                               void *base)
{
    address a;
    char right[ADDRESS_TEXT], whole[ADDRESS_TEXT];
    if (n == ADDRESS_TEXT - 3 && text[1] != 'x') {
        snprintf(whole, sizeof whole, "0x%s", text);
        text = whole;
        n += 2;
    }
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

static const char *value_listen_flaw(const struct setting *row, const char *text)
{
    uint64_t port;
    const char *colon = strrchr(text, ':');
    (void)row;
    if (!colon || !value_host_ok(text, (size_t)(colon - text)))
        return "not an address and port";
    return parse_u64(colon + 1, strlen(colon + 1), &port) && port <= 65535 ? NULL : "not a port";
}

const struct kind kind_listen = {.name = "address or off",
                                 .read_text = value_text_read,
                                 .find_flaw = value_listen_flaw,
                                 .may_be_off = true,
                                 .write = value_text_write,
                                 .expects =
                                     "ADDRESS:PORT such as 127.0.0.1:1325 or '[::]:1325', or off"};
