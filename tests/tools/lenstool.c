/*
 * What the readers put on the wire and make of an answer, for tests written in another language.
 * One question a line on stdin, one answer a line on stdout:
 *
 *     shape ANCHOR MULTICALL CONTRACT:SELECTOR:GAS …    sets what is read; answers "ok"
 *     encode READER BLOCK GAS ALONE FIRST N WALLETS      the JSON params
 *     decode READER GAS ALONE FIRST N WALLETS REPLY      {"proof":…,"cells":[…]} or {"error":"…"}
 *     code MODE ALONE N                                  the program in hex
 *     size MODE ALONE N                                  its size, and that of a full reply
 *     listing MODE ALONE N                               its lines, ended by a line with a dot
 *     address ATTEMPT
 *     nonce BYTE                                         requests carry this byte 16 times; "ok"
 *     link NUMBER                                        chunks ask for that block's hash; "ok"
 *
 * BLOCK is JSON without blanks. WALLETS is hex without 0x, "-" for none; so is REPLY.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/parse.h"
#include "eth/lens.h"
#include "lens_listing.h"
#include "read/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct reader reader_create_revert;

static const struct reader *const known[] = {
    &reader_override, &reader_create, &reader_create_revert, &reader_multicall3, &reader_single};

static struct conf_term terms[READ_TERMS_MAX];
static struct lens_term lens_terms[READ_TERMS_MAX];
static struct read_shape shape = {.terms = terms};
static struct nonce nonce;
static bool has_link;
static uint64_t linked;

static void fail(const char *why)
{
    fprintf(stderr, "lenstool: %s\n", why);
    exit(2);
}

static char *word(char **line)
{
    char *w = strsep(line, " \n");
    if (!w || !*w)
        fail("a word is missing");
    return w;
}

static uint64_t number(char **line)
{
    const char *w = word(line);
    uint64_t v = 0;
    if (!parse_u64(w, strlen(w), &v))
        fail("not a number");
    return v;
}

static uint8_t *bytes(char **line, size_t *ret_len)
{
    const char *w = word(line);
    size_t n = strcmp(w, "-") == 0 ? 0 : strlen(w) / 2;
    uint8_t *b = mem_alloc(n + 1);
    if (n && !parse_hex(w, 2 * n, b, n))
        fail("not hex");
    *ret_len = n;
    return b;
}

static void read_shape(char **line)
{
    const char *anchor = word(line);
    shape.anchor = strcmp(anchor, "arbsys") == 0 ? ANCHOR_ARBSYS
                   : strcmp(anchor, "none") == 0 ? ANCHOR_NONE
                                                 : ANCHOR_EVM;
    const char *multicall = word(line);
    if (!address_parse_loose(multicall, strlen(multicall), &shape.multicall))
        fail("not an address");
    size_t n = 0;
    char *term;
    while ((term = strsep(line, " \n")) && *term && n < READ_TERMS_MAX) {
        struct conf_term *t = &terms[n];
        if (strlen(term) < 54 || term[42] != ':' || term[53] != ':' ||
            !address_parse_loose(term, 42, &t->contract) ||
            !parse_0x(term + 43, 10, t->view.selector, 4) ||
            !parse_u64(term + 54, strlen(term + 54), &t->gas))
            fail("not a term");
        lens_terms[n] = (struct lens_term){.contract = t->contract, .gas = t->gas};
        memcpy(lens_terms[n].selector, t->view.selector, 4);
        n++;
    }
    shape.n_terms = n;
    puts("ok");
}

static const struct reader *read_reader(char **line)
{
    const char *name = word(line);
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(known[i]->name, name) == 0)
            return known[i];
    fail("no such reader");
    return NULL;
}

static struct read_chunk read_chunk(char **line)
{
    struct read_chunk c = {.shape = &shape, .nonce = nonce, .has_link = has_link, .link = linked};
    c.gas = number(line);
    c.isolated = number(line) != 0;
    c.first_term = number(line);
    c.n_terms = number(line);
    size_t n;
    c.wallets = (const address *)bytes(line, &n);
    c.n = n / sizeof(address);
    return c;
}

static void encode(char **line)
{
    const struct reader *r = read_reader(line);
    const char *block = word(line);
    struct buf at = BUF_INIT(1000), params = BUF_INIT(1 << 26);
    buf_adds(&at, block);
    struct read_chunk c = read_chunk(line);
    struct nonce_places places = {0};
    r->encode(&c, &at, &params, &places);
    if (params.overflow)
        fail("params too long");
    nonce_write(&nonce, &places, params.data);
    puts(buf_str(&params));
    mem_free((void *)c.wallets);
    buf_free(&at);
    buf_free(&params);
}

static void print_cells(const struct read_result *r)
{
    static const char *const names[] = {"ok",         "reverted", "empty",
                                        "bad length", "overflow", "suspect"};
    char parent[HASH_TEXT], link[HASH_TEXT], dec[U256_DEC_ROOM];
    hash_text(&r->proof.parent, parent);
    hash_text(&r->link, link);
    printf("{\"proof\":{\"present\":%s,\"number\":%" PRIu64
           ",\"parent\":\"%s\",\"timestamp\":%" PRIu64 ",\"chain_id\":%" PRIu64
           "},\"link\":\"%s\",\"answered\":%zu,\"gas_used\":%" PRIu64 ",\"gas_granted\":%" PRIu64
           ",\"cells\":[",
           r->proof.present ? "true" : "false", r->proof.number, parent, r->proof.timestamp,
           r->proof.chain_id, link, r->answered, r->gas_used, r->gas_granted);
    for (size_t i = 0; i < r->answered; i++) {
        u256_to_dec(&r->cells[i].sum, dec);
        printf("%s[\"%s\",%d,\"%s\"]", i ? "," : "", names[r->cells[i].status],
               r->cells[i].failed_term, dec);
    }
    puts("]}");
}

static void decode(char **line)
{
    const struct reader *r = read_reader(line);
    struct read_chunk c = read_chunk(line);
    size_t len;
    uint8_t *reply = bytes(line, &len);
    struct read_result result = {.cells = mem_zero(c.n + 1, sizeof(struct read_cell))};
    struct err err = {0};
    if (r->decode(&c, reply, len, &result, &err) < 0) {
        struct buf text = BUF_INIT(4096);
        json_write_string(&text, err.text, strlen(err.text));
        printf("{\"error\":%s}\n", buf_str(&text));
        buf_free(&text);
    } else if (result.misplaced) {
        puts("{\"misplaced\":true}");
    } else {
        print_cells(&result);
    }
    mem_free(result.cells);
    mem_free(reply);
    mem_free((void *)c.wallets);
}

static struct lens_shape read_mode(char **line)
{
    const char *mode = word(line);
    struct lens_shape s = {.terms = lens_terms, .n_terms = shape.n_terms};
    s.anchor = shape.anchor == ANCHOR_ARBSYS ? LENS_ANCHOR_ARBSYS
               : shape.anchor == ANCHOR_NONE ? LENS_ANCHOR_NONE
                                             : LENS_ANCHOR_EVM;
    s.mode = strcmp(mode, "create") == 0          ? LENS_CREATE
             : strcmp(mode, "create-revert") == 0 ? LENS_CREATE_REVERT
                                                  : LENS_CALL;
    s.isolated = number(line) != 0;
    return s;
}

static void program(const char *what, char **line)
{
    struct lens_shape s = read_mode(line);
    size_t n = number(line);
    struct lens_code code;
    struct buf text = BUF_INIT(1 << 20);
    lens_assemble(&s, n, &code);
    if (strcmp(what, "size") == 0) {
        buf_addf(&text, "%zu %zu", code.len, lens_reply_size(n));
    } else if (strcmp(what, "code") == 0) {
        buf_addhex(&text, code.b, code.len);
    } else {
        lens_listing(&s, n, &text);
        buf_addc(&text, '.');
    }
    puts(buf_str(&text));
    buf_free(&text);
}

static void set_nonce(char **line)
{
    memset(nonce.b, (int)number(line), sizeof nonce.b);
    puts("ok");
}

static void set_link(char **line)
{
    linked = number(line);
    has_link = true;
    puts("ok");
}

static void print_address(char **line)
{
    char text[ADDRESS_TEXT];
    address a;
    lens_address((unsigned)number(line), &a);
    address_text(&a, text);
    puts(text);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        char *rest = line;
        const char *what = word(&rest);
        if (strcmp(what, "shape") == 0)
            read_shape(&rest);
        else if (strcmp(what, "encode") == 0)
            encode(&rest);
        else if (strcmp(what, "decode") == 0)
            decode(&rest);
        else if (strcmp(what, "address") == 0)
            print_address(&rest);
        else if (strcmp(what, "nonce") == 0)
            set_nonce(&rest);
        else if (strcmp(what, "link") == 0)
            set_link(&rest);
        else
            program(what, &rest);
        fflush(stdout);
    }
    free(line);
    return 0;
}
