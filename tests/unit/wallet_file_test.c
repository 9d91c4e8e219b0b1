/* Files of wallets as people have them: what counts, what is passed by, which lines are told. */
#include "base/err.h"
#include "cli/wallet_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
#define B "0x00000000000000000000000000000000000000b2"

struct told {
    uint64_t lines[16];
    size_t n;
};

static void tell(void *ctx, uint64_t line, const char *why)
{
    struct told *t = ctx;
    assert_true(why[0] != '\0');
    t->lines[t->n++] = line;
}

static struct wallet_list read_text(const char *text, size_t n, struct told *told)
{
    struct wallet_list l = {0};
    struct err err = {0};
    FILE *f = fmemopen((void *)(uintptr_t)text, n, "r");
    *told = (struct told){0};
    assert_int_equal(wallet_file_read(f, &l, tell, told, &err), 0);
    fclose(f);
    return l;
}

/* The text holds these: A, B, both, or none of them; and tells so many lines, the first of them. */
static void holds(const char *text, size_t n, size_t wallets, size_t bad, uint64_t first_bad)
{
    struct told told;
    struct wallet_list l = read_text(text, n, &told);
    if (l.n != wallets || told.n != bad || l.bad != bad || (bad && told.lines[0] != first_bad))
        fail_msg("\"%s\": %zu wallets, %zu bad, first %d", text, l.n, told.n, (int)told.lines[0]);
    wallet_list_free(&l);
}

#define HOLDS(text, wallets, bad, first) holds(text, sizeof(text) - 1, wallets, bad, first)

static void forms(void **state)
{
    (void)state;
    HOLDS(A "\n" B "\n", 2, 0, 0);
    HOLDS(A "\r\n" B, 2, 0, 0);
    HOLDS("\n  # a note\n\t" A " \n\n", 1, 0, 0);
    HOLDS("wallet,balance\n" A ",5\n" B ",,\n", 2, 0, 0);
    HOLDS("# x\nid;ADDRESS\n1;\"" A "\"\n2;" B "\n", 2, 0, 0);
    HOLDS("id\tname\tWallet\n1\tx\t" A "\n", 1, 0, 0);
    HOLDS(A ",first\n" B ",second\n", 2, 0, 0); /* no header: the first column */
}

static void lines_that_are_none(void **state)
{
    (void)state;
    static char text[10000];
    HOLDS("0x12\n" A "\n", 1, 1, 1);
    HOLDS("\n\n0x5aaEb6053F3E94C9b9A09f33669435E7Ef1BeAed\n", 0, 1, 3); /* the checksum */
    HOLDS("id,wallet\n1\n2," A "\n", 1, 1, 2);                          /* no second column */
    HOLDS(A " " B "\n", 0, 1, 1);
    HOLDS("hello\nwallet\n", 0, 2, 1); /* a header is the first line or none */
    HOLDS(A "\0\n" B "\n", 1, 1, 1);
    memset(text, 'x', 9000);
    strcpy(text + 9000, "\n" A "\n"); /* too long for a line, and the next one is read */
    holds(text, strlen(text), 1, 1, 1);
}

static void finalized_each_is_there_once(void **state)
{
    (void)state;
    struct told told;
    static const char text[] = A "\n" B "\n" A "\n" B "\n";
    struct wallet_list l = read_text(text, sizeof text - 1, &told);
    assert_int_equal(l.n, 4);
    wallet_list_sort_unique(&l);
    assert_int_equal(l.n, 2);
    assert_true(address_compare(&l.list[0], &l.list[1]) < 0);
    wallet_list_free(&l);
}

/* As a query that names nobody says it. */
static void nobody_is_added(void **state)
{
    (void)state;
    struct wallet_list l = {0};
    wallet_list_add(&l, (const address[1]){{{0}}}, 0);
    wallet_list_sort_unique(&l);
    assert_int_equal(l.n, 0);
    wallet_list_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(lines_that_are_none),
        cmocka_unit_test(finalized_each_is_there_once),
        cmocka_unit_test(nobody_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
